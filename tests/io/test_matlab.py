"""MATLAB files: the same values as SciPy's, and one error for every damage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from recam.core.errors import UserError
from recam.io.matlab import NUMBER_TYPES, read_names, read_numbers

WORDS = ("null", "t-shirt", "Söckchen")


def cells(texts):
    found = np.empty((1, len(texts)), dtype=object)
    found[0] = texts
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("matlab") / "some.mat"


@given(st.sampled_from(sorted(NUMBER_TYPES.values())), st.booleans(), st.booleans())
def test_numbers_come_back_whatever_their_type(file, dtype, compressed, wide):
    values = np.array([[0, 1, 58], [7, 120, 3]], dtype=dtype)
    values = values if wide else values.T
    savemat(file, {"other": 1 + 2j, "tags": values}, do_compression=compressed)
    assert np.array_equal(read_numbers(file, "tags"), values)


@given(st.lists(st.integers(0, 255), max_size=20), st.booleans())
def test_columns_of_any_length_come_back(file, numbers, compressed):
    savemat(file, {"n": np.array(numbers, np.uint8)[:, None]}, do_compression=compressed)
    assert read_numbers(file, "n").tolist() == [[number] for number in numbers]


@pytest.mark.parametrize("compressed", [False, True])
def test_names_come_back_in_order(file, compressed):
    savemat(file, {"label_list": cells(WORDS)}, do_compression=compressed)
    assert read_names(file, "label_list") == WORDS


@given(st.booleans(), st.booleans(), st.data())
def test_a_damaged_file_is_read_or_refused_in_one_sentence(file, named, compressed, data):
    variable = cells(WORDS) if named else np.arange(30.0).reshape(5, 6)
    savemat(file, {"x": variable}, do_compression=compressed)
    content = bytearray(file.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    damage = data.draw(st.binary(min_size=1, max_size=16))
    content[start : start + len(damage)] = damage
    file.write_bytes(content[: data.draw(st.sampled_from([len(content), start]))])
    words = f"{file}: expected "
    try:
        (read_names if named else read_numbers)(file, "x")
    except UserError as error:
        words = str(error)
    assert words.startswith(f"{file}: expected ")
    assert "\n" not in words


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"b": 1.0}, "expected the variable 'a', got 'b'; replace the file"),
        ({"a": cells(WORDS)}, "expected 'a' as a matrix of numbers, got another kind"),
        ({"a": np.zeros((2, 2, 2))}, "expected 'a' as a matrix of numbers, got another kind"),
        ({"a": "text"}, "matrix of class 4 instead of real numbers or cells"),
        ({"a": 2j}, "matrix of class 6 instead of real numbers or cells"),
    ],
)
def test_another_variable_is_refused(file, variables, words):
    savemat(file, variables)
    with pytest.raises(UserError) as caught:
        read_numbers(file, "a")
    assert words in str(caught.value)


def test_numbers_are_no_names(file):
    savemat(file, {"a": 1.0})
    with pytest.raises(UserError, match="expected 'a' as a cell array of texts, got numbers"):
        read_names(file, "a")


def test_a_page_in_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "page.mat").write_text("<html>" * 100)
    with pytest.raises(UserError, match="no header of a little-endian MATLAB 5 file"):
        read_numbers(tmp_path / "page.mat", "a")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"gone\.mat: not found"):
        read_numbers(tmp_path / "gone.mat", "a")
