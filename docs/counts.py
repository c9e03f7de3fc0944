"""Print the counts that CONTRIBUTING.md limits: lines, complexity and readings of ``args.``."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "workflow")
SHOWN = 3


def main() -> None:
    """Print each count with the places that have the most."""
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    modules = [(len(file.read_text(encoding="utf-8").splitlines()), _name(file)) for file in files]
    readings = [
        (len(re.findall(r"\bargs\.\w", file.read_text(encoding="utf-8"))), _name(file))
        for file in files
        if file.is_relative_to(ROOT / "workflow")
    ]
    _show("lines of a function, at most 40", [f for file in files for f in _functions(file)])
    _show("lines of a module, at most 300", modules)
    _show("complexity of a function, at most 8", list(_complexities()))
    _show(f"readings of args. in workflow/, {sum(n for n, _ in readings)} in all", readings)


def _show(title: str, counts: list[tuple[int, str]]) -> None:
    print(title)
    for count, place in sorted(counts, reverse=True)[:SHOWN]:
        print(f"{count:6d}  {place}")


def _functions(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield lines, f"{_name(file)}:{node.lineno} {node.name}"


def _complexities() -> Iterator[tuple[int, str]]:
    command = [sys.executable, "-m", "ruff", "check", "--select", "C901", "--output-format"]
    command += ["concise", "--config", "lint.mccabe.max-complexity=1", *FOLDERS]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    for place, name, count in re.findall(r"^(\S+): C901 `(\w+)` .*\((\d+) > 1\)", found, re.M):
        yield int(count), f"{place} {name}"


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT))


if __name__ == "__main__":
    main()
