"""A drawing of the graph: the steps in their order, five in a line, with what each one reads."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
GRAPH = ROOT / "docs" / "pictures" / "graph.svg"
IN_LINE = 5
WIDTH, HEIGHT, GAP, DOWN = 136, 40, 34, 52  # pixels
STYLE = (
    "rect{fill:#eef3fa;stroke:#0072b2}"
    "text{font:14px sans-serif;text-anchor:middle;fill:#111}"
    "path{fill:none;stroke:#555;stroke-width:1.5}"
)


def drawn() -> str:
    """The graph of the Snakefile as SVG, without the edges that others imply."""
    after = _reduced(_edges())
    places = _places(after)
    lines = 1 + max(row for row, _ in places.values())
    width = IN_LINE * WIDTH + (IN_LINE - 1) * GAP + 4
    height = lines * HEIGHT + (lines - 1) * DOWN + 4
    arrows = [_arrow(places[a], places[b]) for a, following in after.items() for b in following]
    boxes = [_box(name, place) for name, place in places.items()]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img" aria-label="the steps in their order">',
            f"<style>{STYLE}</style>",
            f'<rect width="{width}" height="{height}" style="fill:white;stroke:none"/>',
            '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
            ' orient="auto"><path d="M0 0L8 4L0 8z" style="fill:#555;stroke:none"/></marker>',
            *arrows,
            *boxes,
            "</svg>\n",
        ]
    )


def _edges() -> dict[str, set[str]]:
    """Which rules read what a rule writes, by Snakemake's own drawing."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", text, re.MULTILINE))
    pairs = re.findall(r"^\s*(id\d+) --> (id\d+)", text, re.MULTILINE)
    return {
        name: {names[b] for a, b in pairs if names[a] == name} - {"all"}
        for name in names.values()
        if name != "all"
    }


def _reduced(after: dict[str, set[str]]) -> dict[str, list[str]]:
    def later(name: str) -> set[str]:
        return after[name].union(*map(later, after[name]))

    return {
        name: [
            other
            for other in sorted(following)
            if not any(other in later(between) for between in following - {other})
        ]
        for name, following in after.items()
    }


def _places(after: dict[str, list[str]]) -> dict[str, tuple[int, int]]:
    """Row and column of each step: in topological order, every other line from right to left."""
    order: list[str] = []

    def visit(name: str) -> None:
        for other in after[name]:
            visit(other)
        if name not in order:
            order.insert(0, name)

    for name in after:
        visit(name)
    rows = [divmod(number, IN_LINE) for number in range(len(order))]
    turned = [(row, column if row % 2 == 0 else IN_LINE - 1 - column) for row, column in rows]
    return dict(zip(order, turned, strict=True))


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    row, column = place
    return 2 + column * (WIDTH + GAP), 2 + row * (HEIGHT + DOWN)


def _box(name: str, place: tuple[int, int]) -> str:
    x, y = _corner(place)
    return (
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5"/>'
        f'<text x="{x + WIDTH // 2}" y="{y + HEIGHT // 2 + 5}">{name}</text>'
    )


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x1, y1), (x2, y2) = _corner(start), _corner(end)
    if start[0] != end[0]:
        middle = WIDTH // 2
        points = (x1 + middle, y1 + HEIGHT, x2 + middle, y2)
    elif x1 < x2:
        points = (x1 + WIDTH, y1 + HEIGHT // 2, x2, y2 + HEIGHT // 2)
    else:
        points = (x1, y1 + HEIGHT // 2, x2 + WIDTH, y2 + HEIGHT // 2)
    return '<path d="M{} {}L{} {}" marker-end="url(#tip)"/>'.format(*points)
