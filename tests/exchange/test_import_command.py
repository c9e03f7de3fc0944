"""``recam import``: recognition, the finished folder, and sources that are refused."""

import numpy as np
import pytest
from tool_files import (
    SQUARE,
    annotation,
    imported,
    labelled,
    labels_in,
    photo,
    recam,
    refusal,
    write,
)

from recam.core.errors import UserError
from recam.datasets.folder import list_folder
from recam.steps.data_check import check_folder


@pytest.fixture
def coco(tmp_path):
    root = tmp_path / "coco"
    annotations = []
    for number in range(2):
        photo(root / f"{number}.png", grey=60 * number, size=(48, 40))
        annotations.append(annotation(number, number, 1 + number))
    images = [{"id": n, "file_name": f"{n}.png", "width": 48, "height": 40} for n in range(2)]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog, small"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    write(root / "own.json", document)
    return root


def test_the_check_accepts_the_folder_and_finds_nothing_unused(coco, capsys):
    out, _ = imported(capsys, coco)
    report, _ = check_folder(out, params=None)
    assert not report.errors
    found = list_folder(str(out))
    assert found.classes == ("cat", "dog, small")
    assert set(found.masks) == set(found.boxes) == {"0", "1"}
    np.testing.assert_array_equal(found.labels["1"], [False, True])


def test_two_formats_need_the_option(coco, capsys):
    write(coco / "0.json", labelled(SQUARE, imagePath="0.png", imageHeight=40, imageWidth=48))
    text = refusal(capsys, coco)
    assert "expected one format, found COCO JSON and labelme JSON" in text or (
        "expected one format, found labelme JSON and COCO JSON" in text
    )
    assert "--format" in text
    out, _ = imported(capsys, coco, "--format", "labelme")
    assert labels_in(out) == {"0": {"cat"}}


def test_a_wanted_format_must_be_there(coco, capsys):
    assert "expected PASCAL VOC XML, found COCO JSON" in refusal(capsys, coco, "--format", "voc")


def test_a_folder_in_use_is_not_written_to(coco, capsys):
    write(coco.parent / "out/notes.txt", "mine")
    assert "expected a new or empty place, got one in use" in refusal(capsys, coco)


def test_an_empty_folder_is_filled(coco, capsys):
    (coco.parent / "out").mkdir()
    out, _ = imported(capsys, coco)
    assert (out / "labels.csv").is_file()


def test_the_new_folder_lies_outside_the_source(coco, capsys):
    code, text = recam(capsys, "import", coco, "--out", coco / "new")
    assert code == 1
    assert f"expected a folder outside {coco}" in text
    assert not (coco / "new").exists()


def test_sources_without_a_format_are_refused(tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "expected COCO JSON, labelme JSON" in refusal(capsys, empty)
    assert "expected a folder or a file, found none" in refusal(capsys, tmp_path / "gone")
    write(empty / "a.json", "{")
    assert f"{empty / 'a.json'}: line 1: expected JSON" in refusal(capsys, empty)
    write(empty / "labels.csv", "id,labels\n")
    assert "has labels.csv, so it needs no import" in refusal(capsys, empty)


def test_a_folder_of_images_must_exist(coco, capsys):
    text = refusal(capsys, coco, "--images", coco / "gone")
    assert "expected a folder of images, found none" in text


def test_the_experiment_names_the_command_for_such_a_folder(coco):
    with pytest.raises(UserError, match=r"found COCO JSON; run recam import .* --out FOLDER"):
        list_folder(str(coco))


def test_links_in_a_circle_are_not_followed(coco, capsys):
    (coco / "again").symlink_to(coco)
    out, _ = imported(capsys, coco)
    assert len(labels_in(out)) == 2
