"""The legend of an image grid: a colour and a name for each class that occurs."""

from collections.abc import Collection
from dataclasses import dataclass

from recam.core.labels import IGNORE, display_colours, mask_id
from recam.report.canvas import DOTS, LINE, POINT, SWATCH, Canvas, Swatch, Text
from recam.report.fonts import drawable, text_width
from recam.report.style import BECAME_RIGHT, BECAME_WRONG

SIZE = 7.0  # points
LONGEST_NAME = 24  # characters
PADDING, SPACE = 6, 22  # pixels between colour and name, and between entries


@dataclass(frozen=True, slots=True)
class Entry:
    """A name and its colour, hexadecimal."""

    name: str
    colour: str
    is_striped: bool = False

    @property
    def width(self) -> float:
        """Pixels from the left end of the colour to the right end of the name."""
        return SWATCH[0] + PADDING + text_width(self.name, size=SIZE, dots=DOTS)


def legend_entries(
    classes: tuple[str, ...], *, ids: Collection[int], shows_change: bool = False
) -> list[Entry]:
    """Entries of the classes in ``ids``, in their order, of ignored pixels and of changes."""
    colours = [f"#{bytes(colour).hex()}" for colour in display_colours(len(classes)).tolist()]
    entries = [
        Entry(shortened(name, LONGEST_NAME), colours[mask_id(i)])
        for i, name in enumerate(classes)
        if mask_id(i) in ids
    ]
    if IGNORE in ids:
        entries.append(Entry("ignored", colours[IGNORE], is_striped=True))
    if shows_change:
        entries += [Entry("became right", BECAME_RIGHT), Entry("became wrong", BECAME_WRONG)]
    return entries


def shortened(name: str, longest: int) -> str:
    """A class name, with its end elided if it has more than ``longest`` characters."""
    return drawable(name if len(name) <= longest else f"{name[: longest - 1]}…")


def draw_legend(canvas: Canvas, entries: list[Entry], y: int) -> int:
    """Draw entries in centred lines below ``y``; returns their lower end."""
    step = round(LINE * SIZE * POINT) + 4
    for line in _lines(entries, canvas.width):
        y += step
        x = (canvas.width - _length(line)) / 2
        for entry in line:
            middle = x + SWATCH[0] / 2
            canvas.swatches.append(Swatch(middle, float(y), entry.colour, entry.is_striped))
            start = x + SWATCH[0] + PADDING
            canvas.texts.append(Text(start, float(y), entry.name, SIZE, align="left"))
            x += entry.width + SPACE
    return y


def _lines(entries: list[Entry], width: int) -> list[list[Entry]]:
    lines: list[list[Entry]] = []
    for entry in entries:
        if lines and _length([*lines[-1], entry]) <= width - 2 * PADDING:
            lines[-1].append(entry)
        else:
            lines.append([entry])
    return lines


def _length(line: list[Entry]) -> float:
    return sum(entry.width for entry in line) + SPACE * (len(line) - 1)
