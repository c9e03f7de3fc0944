"""Class names and ids as people type them: one clean form, and spellings of one class."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recam.core.names import (
    clean_id,
    clean_name,
    first_respelled,
    is_background,
    reason_no_class,
    reason_no_id,
    reason_no_name,
    reason_unfit,
    spelling,
)

CLASSES = [
    "cat",
    "猫",
    "Ёж",
    "C++",
    "C",
    "$\\frac$ {x}",
    "(other)",
    "が",
    "か",
    "🐈",
    "no. 5",
    "ไก่",
]


@pytest.mark.parametrize(
    "text",
    [
        *("traffic light", " traffic light", "traffic\u00a0light", "traffic  light\t"),
        *("traffic\u2003light", "\ufefftraffic light", "traf\u200bfic light", "traffic\u3000light"),
    ],
)
def test_blanks_and_invisible_characters_make_no_other_name(text):
    assert clean_name(text) == "traffic light"


@given(st.text())
def test_clean_forms_are_final_and_normal(text):
    for clean in (clean_name, clean_id):
        assert clean(clean(text)) == clean(text)
        assert clean(unicodedata.normalize("NFD", text)) == clean(text)


@given(st.text())
def test_a_clean_name_is_one_line_without_blanks_at_its_ends(text):
    name = clean_name(text)
    assert name == name.strip()
    assert len(name.splitlines()) <= 1


@pytest.mark.parametrize(
    "other",
    [
        *("traffic light", "Traffic-Light", "TRAFFIC_LIGHT", "trafficlight", "'traffic light'"),
        *("traffic\u2013light", "\uff54raffic light", "tr\u0430ffic light", "traffic\u2011light"),
    ],
)
def test_spellings_of_one_class_share_a_key(other):
    assert spelling(other) == spelling("traffic light")


@pytest.mark.parametrize("name", CLASSES)
def test_names_of_any_script_and_punctuation_are_names_of_classes(name):
    assert clean_name(name) == name
    assert (reason_no_name(name), reason_no_class(name)) == ("", "")
    assert [spelling(other) for other in CLASSES].count(spelling(name)) == 1


def test_the_first_other_spelling_is_found_after_the_name_it_repeats():
    assert first_respelled(["cat", "dog", "Dog", "CAT"]) == ("dog", "Dog")
    assert first_respelled(["cat", "cat", "dog"]) is None
    assert first_respelled(["cat", "cat.1"]) == ("cat", "cat.1")
    assert first_respelled(["v1.0", "v1.1"]) is None


@pytest.mark.parametrize(
    "name", ["background", "Background", "_background_", "__BACKGROUND__", "back ground"]
)
def test_background_is_no_class(name):
    assert is_background(name)
    assert reason_no_class(name) == "is mask id 0, no class"


@pytest.mark.parametrize("name", ["__ignore__", "bg", "void", "Unlabeled", "un-labelled"])
def test_words_for_unlabelled_pixels_are_no_classes(name):
    assert reason_no_class(name) == "is a word for pixels without a class"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((word, "is written for an empty cell") for word in ("nan", "None", "NA", "#N/A", "-")),
        *((word, "is a truth value") for word in ("TRUE", "false", "Yes")),
        *((word, "is a number") for word in ("1.0", "1,5", "-2.50")),
        *((word, "is a list in one cell") for word in ("['cat']", '{"cat", "dog"}', "set()")),
    ],
)
def test_words_of_tools_are_no_names(name, reason):
    assert reason_no_name(name) == reason


@pytest.mark.parametrize("text", ["a/b", "..", "a\x07", "é" * 101])
def test_names_of_no_file_are_no_ids(text):
    assert reason_no_id(text)


def test_a_comment_is_no_class_and_a_name_with_a_number_sign_or_a_stroke_is_one():
    for line in ("# label:color_rgb:parts:actions", "// a list", "/* a list */", "<!-- a list -->"):
        assert reason_no_class(line) == "is a comment, no class"
    assert [reason_no_class(name) for name in ("#1", "a//b", "/", "<b>x</b>")] == [""] * 4


def test_a_control_character_is_never_dropped_from_a_name():
    assert clean_name("dog\x0e") != clean_name("dog")
    assert reason_unfit("dog\x0e") == "has a control character"


def test_a_name_is_no_longer_than_the_name_of_a_file():
    assert reason_unfit("x" * 200) == ""
    for long in ("x" * 201, "\u00e9" * 101):
        assert reason_unfit(long) == reason_no_id(long) == "is longer than 200 bytes"
