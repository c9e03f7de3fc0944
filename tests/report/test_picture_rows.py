"""The picture of the summary and the grids: rows of a sorted folder, on masks of a few pixels."""

import numpy as np
import pytest
from archived import in_archive
from PIL import Image

from recam.core.labels import display_colours
from recam.data.layout import MASKS, Scene, write_scenes
from recam.io.images import write_mask
from recam.io.scores import ScoredClasses, save_scores
from recam.report.examples import draw_overview, draw_selected, material_of
from recam.report.summary import Run

CLASSES = ("daisy", "rose", "cat", "dog")
IMAGES = 12  # three of each class after another


def mask_of(number):
    mask = np.zeros((20, 32), np.uint8)
    mask[5:15, 8:24] = number // 3 + 1
    return mask


@pytest.fixture
def material(tmp_path):
    """Maps and masks of a finished run, which equal the ground truth."""
    data, run = tmp_path / "data", tmp_path / "seed0/cam"
    grey = np.full((20, 32, 3), 90, np.uint8)
    scenes = [Scene(image=grey, mask=mask_of(number)) for number in range(IMAGES)]
    for number, name in enumerate(write_scenes(data, {"train": scenes}, CLASSES)):
        for folder in ("pseudo", "predictions"):
            write_mask(run / folder / f"{name}.png", mask_of(number), num_classes=4)
        scores = (mask_of(number) > 0).astype(np.float32)[None]
        scored = ScoredClasses(scores=scores, classes=np.array([number // 3]))
        save_scores(run / f"cams/{name}.npz", scored)
    return material_of([Run(folder=run)], data=data, truth=data / MASKS)


def classes_in(path):
    """Indices of the classes whose colours are in a picture."""
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    colours = display_colours(4)[1:5]
    return [i for i, colour in enumerate(colours) if (pixels == colour).all(axis=1).any()]


def test_as_many_rows_as_classes_show_every_class(material, tmp_path):
    draw_overview(tmp_path / "a.png", material, examples=4)
    assert classes_in(tmp_path / "a.png") == [0, 1, 2, 3]
    draw_overview(tmp_path / "b.png", material, examples=2)
    assert len(classes_in(tmp_path / "b.png")) == 2


def test_rows_have_every_map_and_mask_if_such_images_exist(material):
    run = material.runs["cam"].folder
    for name in ("train_0000", "train_0001"):
        (run / f"predictions/{name}.png").unlink()
    (run / "cams/train_0005.npz").unlink()
    assert len(material.common_ids()) == IMAGES - 3
    for file in (run / "predictions").iterdir():
        file.unlink()
    assert material.common_ids() == material.ids("cams")  # an unfinished run


def test_maps_and_masks_in_archives_are_drawn_alike(material, tmp_path):
    ids = material.common_ids()
    draw_overview(tmp_path / "files.png", material, examples=2)
    for name in ("cams", "pseudo", "predictions"):
        in_archive(material.runs["cam"].folder / name)
    assert material.common_ids() == ids
    draw_overview(tmp_path / "archives.png", material, examples=2)
    pictures = [np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("files", "archives")]
    np.testing.assert_array_equal(*pictures)


def test_rows_with_ground_truth_come_first(material):
    ids = material.common_ids()
    for name in ids[:2] + ids[4:]:
        (material.truth / f"{name}.png").unlink()
    assert set(material.covering(ids, count=2)) == set(ids[2:4])


def test_images_that_are_not_scored_show_every_class(material, tmp_path):
    (tmp_path / "figures").mkdir()
    draw_selected(tmp_path / "figures", material, "seg", examples=4)
    (file,) = (tmp_path / "figures").iterdir()
    assert file.name == "1-images.jpg"
    with Image.open(file) as picture:
        assert picture.height > 4 * 202 * 20 / 32
