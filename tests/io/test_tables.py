"""The one reader of tables and lists: cells are text, and faults are named with their line."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recam.core.errors import UserError
from recam.core.names import clean_id
from recam.data.boxes import read_boxes, write_boxes
from recam.data.layout import load_weak_split, read_labels
from recam.datasets.collection import Collection, link_collection
from recam.io.tables import read_lines, read_table

NUMBERS_AND_WORDS = (
    *("0387", "1e5", "NA", "nan", "None", "True", "007.10", "1_000", "2007-01-01", "1,5", "#N/A"),
    *("inf", "-0", "+1", "0x10", "1.0", "NULL", "null", '"quoted"', "a;b", "=1+1", "it's", "猫 1"),
)
TEXTS = st.text(
    st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"], blacklist_characters="/"),
    min_size=1,
    max_size=12,
).map(clean_id)
IDS = TEXTS.filter(lambda text: text not in ("", ".", "..") and text[:2] != '="') | st.sampled_from(
    NUMBERS_AND_WORDS
)
FILE_IDS = IDS.filter(lambda text: "/" not in text)


def table_of(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path)


def refusal(tmp_path, content):
    with pytest.raises(UserError) as caught:
        table_of(tmp_path, content)
    return str(caught.value).removeprefix(f"{tmp_path / 'table.csv'}: ")


@given(st.lists(IDS, min_size=1, max_size=6, unique=True), st.sampled_from(",;\t"))
def test_ids_are_the_text_that_was_written(tmp_path_factory, ids, separator):
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows([("id", "cat"), *((i, 1) for i in ids)])
    table = table_of(tmp_path_factory.mktemp("table"), text.getvalue())
    assert table.column("id") == ids
    assert table.rows == tuple((image_id, "1") for image_id in ids)


@given(st.lists(FILE_IDS, min_size=1, max_size=6, unique=True))
def test_ids_go_through_all_tables_of_a_data_set_unchanged(tmp_path_factory, ids):
    root = tmp_path_factory.mktemp("data")
    images = {image_id: root / f"{number}.png" for number, image_id in enumerate(ids)}
    labels = {image_id: np.array([True, False]) for image_id in ids}
    collection = Collection(
        classes=("cat", "NA"), splits={"train": tuple(ids)}, images=images, labels=labels, masks={}
    )
    for file in images.values():
        file.touch()
    link_collection(root / "data", collection)
    split = load_weak_split(root / "data", "train")
    assert list(split.ids) == ids
    assert [path.resolve() for path in split.images] == list(images.values())
    assert list(read_labels(root / "data/labels.csv", split.classes).index) == ids
    write_boxes(
        root / "boxes.csv", {i: {0: np.array([[0.0, 0, 1, 1]])} for i in ids}, split.classes
    )
    assert list(read_boxes(root / "boxes.csv", split.classes)) == ids


@pytest.mark.parametrize(
    "content",
    [
        "id,cat\n0042,1\nb,0\n",
        "id;cat\n0042;1\nb;0\n",
        "id\tcat\r\n0042\t1\r\nb\t0\r\n",
        "\ufeffid,cat\n0042,1\nb,0",
        "id,cat\r0042,1\r\nb,0\n\r",
        "sep=;\nid;cat\n0042;1\nb;0\n",
        '"id","cat"\n"0042","1"\n"b","0"\n',
        'id, "cat"\n"=""0042""", 1\nb, "0"\n',
        "\n,,\nid,cat,,\n0042,1,,\n,,\n\nb,0,,\n,,,,\n \n",
        "id,cat\n0042,1,\nb,0,\n",
        "\ufeffid\tcat\n0042\t1\nb\t0\n".encode("utf-16-le"),
        "id\tcat\r\n0042\t1\r\nb\t0\r\n".encode("utf-16"),
    ],
)
def test_tables_as_tools_write_them(tmp_path, content):
    table = table_of(tmp_path, content)
    assert table.header == ("id", "cat")
    assert table.rows == (("0042", "1"), ("b", "0"))


def test_rows_know_their_lines(tmp_path):
    assert table_of(tmp_path, "\nid,cat\r\n\r\na,1\n,\nb,0\r").lines == (4, 6)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "expected a CSV table with commas, got an empty file"),
        (",,\n\n", "expected a CSV table with commas, got an empty file"),
        ("id,cat\na,1,2\n", "line 2: expected 2 cells as in the header, got 3"),
        ("id,cat\na,1\n\nb\n", "line 4: expected 2 cells as in the header, got 1"),
        ("id,cat,cat\na,1,0\n", "column 'cat' occurs twice; delete or rename one"),
        (",id,cat\n0,a,1\n", "column 1 has no name in the header; name or delete it"),
        ('id,cat\na,"1\nb,0\n', "line 2: expected cells"),
        ('id,cat\na,1\nb,"0\nc,1\n"\n', "line 3: a quoted cell goes on to line 5; close its quote"),
        ('id,cat\na,"1"x\n', "line 2: expected cells"),
        (b"id,cat\na,1\nb\0,0\n", "line 3: expected text, got a NUL byte"),
        ("id,cat\na,1\nVögel,0\n".encode("latin-1"), "line 3: expected text in UTF-8"),
        ("id,cat\na,1\n".encode("utf-16-le"), "line 1: expected text, got a NUL byte"),
        (f"id,cat\n{'a' * 200_000},1\n", "line 2: expected cells"),
    ],
)
def test_faults_of_a_table_are_named_with_their_line(tmp_path, content, words):
    assert refusal(tmp_path, content).startswith(words)


def test_lists_have_the_line_ends_of_any_system_and_no_others(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes("a\rb\r\n\nc\u2028d\n \ne\u0085f".encode())
    assert read_lines(path) == {1: "a", 2: "b", 4: "c\u2028d", 6: "e\u0085f"}
