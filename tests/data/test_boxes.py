"""The table of ground truth boxes: round trip, and messages for errors."""

import numpy as np
import pytest

from recam.core.errors import UserError
from recam.data.boxes import read_boxes, write_boxes

CLASSES = ("cat", "dog")
HEAD = "id,class,x_min,y_min,x_max,y_max\n"


def test_boxes_are_grouped_by_image_and_class(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(
        HEAD + "0042,dog,0,0,2,3\nb,cat,1,1,2,2\n0042,cat,0,1,2.5,3\n0042,dog,4,4,5,5\n"
    )
    found = read_boxes(path, CLASSES)
    assert {i: {c: b.tolist() for c, b in of.items()} for i, of in found.items()} == {
        "0042": {1: [[0, 0, 2, 3], [4, 4, 5, 5]], 0: [[0, 1, 2.5, 3]]},
        "b": {0: [[1, 1, 2, 2]]},
    }


def test_boxes_survive_the_file(tmp_path):
    boxes = {"0042": {1: np.array([[0.0, 0.5, 2.0, 3.25]])}}
    write_boxes(tmp_path / "boxes.csv", boxes, CLASSES)
    found = read_boxes(tmp_path / "boxes.csv", CLASSES)
    assert found["0042"][1].tolist() == [[0, 0.5, 2, 3.25]]


def test_a_missing_table_has_no_boxes(tmp_path):
    assert read_boxes(tmp_path / "boxes.csv", CLASSES) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,class,x,y,w,h\n", "expected the columns id, class, x_min"),
        (HEAD + "a,hen,0,0,1,1\n", "expected the classes of classes.txt, got 'hen'"),
        (HEAD + "a,cat,0,0,1,1\na,cat,2,0,2,1\n", "image a: .* got 2, 0, 2, 1; correct"),
        (HEAD + "a,cat,-1,0,2,1\n", "got -1, 0, 2, 1"),
        (HEAD + "a,cat,0,0,,1\n", "image a: expected 0 <= x_min < x_max"),
        (HEAD + "a,cat,0,0,inf,1\n", "got 0, 0, inf, 1"),
        ("", "expected a CSV table with commas"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, text, words):
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(UserError, match=rf"boxes\.csv: .*{words}"):
        read_boxes(tmp_path / "boxes.csv", CLASSES)
