"""Figures draw any class name: no markup, no warning about a missing character."""

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from recam.report import fonts, grids
from recam.report.charts import short
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
    rows = [grids.GridRow(cells={"image": cell}, label="猫_1")]
    ids = set(range(1, len(NAMES) + 1))
    grids.draw_grid(tmp_path / "a.png", rows, NAMES, caption="$x_1$ of 猫", ids=ids)
    assert (tmp_path / "a.png").stat().st_size > 0


def test_names_that_begin_with_an_underscore_are_in_the_legend():
    legend = Figure().legend(
        handles=grids._patches(("_cat",), ids={1}, shows_change=False), labels=["name"]
    )
    fonts.name_entries(legend, ["_cat"])
    assert [text.get_text() for text in legend.get_texts()] == ["_cat"]
