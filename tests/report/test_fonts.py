"""Figures draw any class name: no markup, no warning about a missing character."""

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from recam.report import fonts
from recam.report.charts import short
from recam.report.grids import Cell, GridRow, draw_grid
from recam.report.style import RC

NAMES = ("cat", "猫", "_cat", "$\\frac$ {x}", "a$b$c", "собака", "\U0010ffff", "🐈", "x" * 300)


def test_characters_without_a_font_are_drawn_as_their_code():
    assert fonts.drawable("Vögel \U0010ffff\n$x$") == "Vögel [U+10FFFF]\n$x$"


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_drawn_as_it_is_written(name):
    with rc_context(dict(RC)):
        text = Figure().text(0, 0, short(name))
        assert not text.get_parse_math()
        text.figure.canvas.draw()


def test_a_legend_names_every_class(tmp_path):
    cell = np.zeros((4, 4, 3), np.uint8)
    shown = frozenset(range(1, len(NAMES) + 1))
    rows = [GridRow(cells={"image": Cell(pixels=cell, shown=shown)}, label="猫_1")]
    draw_grid(tmp_path / "a.png", rows, NAMES, caption="$x_1$ of 猫")
    assert (tmp_path / "a.png").stat().st_size > 0


def test_the_width_of_a_text_is_that_of_the_canvas():
    figure = Figure(dpi=150)
    renderer = FigureCanvasAgg(figure).get_renderer()
    with rc_context(dict(RC)):
        for text in ("became right", "猫 カメラ", "собака", "_a$b$"):
            box = figure.text(0, 0, text, size=7).get_window_extent(renderer)
            assert fonts.text_width(text, size=7.0, dots=150) == pytest.approx(box.width, abs=1)


def test_lines_are_as_long_as_fits():
    words = "one two three four five"
    width = round(fonts.text_width("one two three", size=7.0, dots=150))
    lines = fonts.wrapped(words, width=width, size=7.0, dots=150)
    assert lines == ["one two three", "four five"]
    assert fonts.wrapped("a\nb", width=1, size=7.0, dots=150) == ["a", "b"]
    assert fonts.wrapped("", width=1, size=7.0, dots=150) == [""]
