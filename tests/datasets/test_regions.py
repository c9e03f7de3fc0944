"""Masks drawn from annotated regions: order, decoding, and malformed segmentations."""

import subprocess
import sys
import time
from array import array
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as rasteriser

from recam.core.errors import UserError
from recam.datasets.regions import CHUNK, AnnotatedImage, Region, draw_mask, write_masks
from recam.io.images import read_mask

HEIGHT, WIDTH = 4, 5
SOURCE = Path("annotations/instances_val2014.json")


def box(left, top, right, bottom):
    """A polygon that covers the pixels [top:bottom, left:right]."""
    return array("d", [left, top, right, top, right, bottom, left, bottom])


def region(annotation, class_index, segmentation, *, area=1, crowd=False):
    return Region(
        annotation=annotation,
        class_index=class_index,
        crowd=crowd,
        area=float(area),
        segmentation=segmentation,
    )


def annotated(*regions, height=HEIGHT, width=WIDTH, name="COCO_val2014_000000000042"):
    return AnnotatedImage(id=name, height=height, width=width, regions=list(regions), source=SOURCE)


def drawn(*regions):
    return draw_mask(annotated(*regions)).tolist()


def covered(segmentation, *, height=HEIGHT, width=WIDTH):
    mask = draw_mask(annotated(region(1, 0, segmentation), height=height, width=width))
    assert set(np.unique(mask)) <= {0, 1}
    return mask.astype(bool)


def runs_of(mask):
    """Uncompressed RLE, counted pixel by pixel, column by column."""
    counts, inside = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != inside:
            counts.append(0)
            inside = pixel
        counts[-1] += 1
    return {"counts": counts, "size": list(mask.shape)}


def compressed(mask):
    rle = rasteriser.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"counts": rle["counts"].decode(), "size": list(mask.shape)}


def test_an_image_without_regions_is_background():
    mask = draw_mask(annotated())
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, np.zeros((HEIGHT, WIDTH)))


def test_a_polygon_by_hand():
    assert drawn(region(1, 79, [box(1, 1, 4, 3)])) == [
        [0, 0, 0, 0, 0],
        [0, 80, 80, 80, 0],
        [0, 80, 80, 80, 0],
        [0, 0, 0, 0, 0],
    ]


def test_the_polygons_of_one_region_are_united():
    assert drawn(region(1, 4, [box(0, 0, 2, 2), box(1, 1, 3, 4)])) == [
        [5, 5, 0, 0, 0],
        [5, 5, 5, 0, 0],
        [0, 5, 5, 0, 0],
        [0, 5, 5, 0, 0],
    ]


def test_a_crowd_is_ignored_only_where_no_object_covers_it():
    crowd = region(1, 0, [box(0, 0, 5, 2)], area=1, crowd=True)  # small, and yet below all
    mask = drawn(crowd, region(2, 6, [box(3, 1, 5, 4)], area=6))
    assert mask == [
        [255, 255, 255, 255, 255],
        [255, 255, 255, 7, 7],
        [0, 0, 0, 7, 7],
        [0, 0, 0, 7, 7],
    ]


def test_published_masks_are_drawn_in_the_order_of_the_annotations():
    small = region(2, 6, [box(3, 1, 5, 4)], area=6)
    crowd = region(1, 0, [box(0, 0, 5, 2)], area=10, crowd=True)
    image = annotated(small, crowd)
    assert draw_mask(image, rule="published").tolist() == [
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1],
        [0, 0, 0, 7, 7],
        [0, 0, 0, 7, 7],
    ]


LAYERS = [
    region(10, 0, [box(0, 0, 5, 4)], area=20),
    region(11, 1, [box(0, 0, 4, 3)], area=12),
    region(12, 2, [box(0, 0, 2, 2)], area=4),
    region(13, 3, [box(3, 2, 5, 4)], area=4.5),
    region(14, 9, [box(0, 3, 5, 4)], area=5, crowd=True),
]


@given(st.permutations(LAYERS))
def test_small_lies_on_large_whatever_the_order(layers):
    assert drawn(*layers) == [[3, 3, 2, 2, 1], [3, 3, 2, 2, 1], [2, 2, 2, 4, 4], [1, 1, 1, 4, 4]]


@given(st.permutations([1, 2, 30]))
def test_of_equal_areas_the_greater_annotation_id_lies_on_top(numbers):
    layers = [region(number, number, [box(0, 0, 5, 4)], area=20) for number in numbers]
    assert np.unique(drawn(*layers)).tolist() == [31]


@given(
    st.lists(
        st.tuples(
            st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(1, 5), st.integers(1, 4)),
            st.integers(1, 3),  # areas, with many ties
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_every_pixel_follows_the_drawing_order(layers):
    spans = [(x, y, x + w, y + h) for (x, y, w, h), _, _ in layers]
    mask = draw_mask(
        annotated(
            *(
                region(number, number, [box(*span)], area=area, crowd=crowd)
                for number, (span, (_, area, crowd)) in enumerate(zip(spans, layers, strict=True))
            )
        )
    )
    for y, x in np.ndindex(HEIGHT, WIDTH):
        here = [i for i, s in enumerate(spans) if s[0] <= x < s[2] and s[1] <= y < s[3]]
        objects = [number for number in here if not layers[number][2]]
        smallest = min(objects, key=lambda i: (layers[i][1], -i), default=None)
        expected = smallest + 1 if smallest is not None else 255 if here else 0
        assert mask[y, x] == expected


def test_runs_by_hand_go_down_the_columns():
    counts = [2, 3, 11, 4]
    mask = covered({"counts": counts, "size": [HEIGHT, WIDTH]})
    assert mask.astype(int).tolist() == [
        [0, 1, 0, 0, 1],
        [0, 0, 0, 0, 1],
        [1, 0, 0, 0, 1],
        [1, 0, 0, 0, 1],
    ]


def test_compressed_runs_by_hand():
    mask = covered({"counts": "014000000", "size": [HEIGHT, WIDTH]})  # 0 1 4 1 4 1 4 1 4
    np.testing.assert_array_equal(mask, np.eye(HEIGHT, WIDTH, dtype=bool))


@given(
    st.lists(st.floats(-2, 50, width=32), min_size=6, max_size=20).filter(lambda p: len(p) % 2 == 0)
)
def test_runs_of_both_forms_are_the_polygon_that_they_were_made_of(points):
    polygon = covered([array("d", points)], height=40, width=48)
    for rle in (runs_of(polygon), compressed(polygon)):
        np.testing.assert_array_equal(covered(rle, height=40, width=48), polygon)


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9)), st.sampled_from([1, 7, 40]))
def test_any_mask_comes_back_from_runs_of_both_forms(mask, factor):
    mask = np.repeat(mask, factor, axis=0)  # so that counts need one, two or three characters
    for rle in (runs_of(mask), compressed(mask)):
        np.testing.assert_array_equal(covered(rle, height=len(mask), width=mask.shape[1]), mask)


@pytest.mark.parametrize("points", [[], [1, 1], [1, 1, 3, 3], [1, 1, 1, 1, 1, 1]])
def test_a_polygon_without_area_covers_nothing(points):
    assert not covered([array("d", points)]).any()
    both = covered([array("d", points), box(1, 1, 4, 3)])
    np.testing.assert_array_equal(both, covered([box(1, 1, 4, 3)]))


def test_a_polygon_may_leave_its_image():
    assert covered([box(-2, -2, 7, 6)]).all()


SIZE = [HEIGHT, WIDTH]


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([], "expected polygons or RLE, got []"),
        ("box", "expected polygons or RLE, got 'box'"),
        ([[1, "a"]], "expected each polygon as numbers x, y, x, y, ..., got [1, 'a']"),
        ([1, 2], "expected each polygon as numbers x, y, x, y, ..., got 1"),
        (
            [array("d", [1, 2, 3])],
            "expected each polygon as numbers x, y, x, y, ..., got array('d', [1.0, 2.0, 3.0])",
        ),
        ([box(0, 0, float("nan"), 2)], "expected points within or near 5x4 pixels, got others"),
        ([box(0, 0, float("inf"), 2)], "expected points within or near 5x4 pixels, got others"),
        ([box(0, 0, 1e9, 2)], "expected points within or near 5x4 pixels, got others"),
        ({"counts": [20]}, "expected RLE of its image's size [4, 5], got None"),
        (
            {"counts": [20], "size": [5, 4]},
            "expected RLE of its image's size [4, 5], got [5, 4]",
        ),
        ({"size": SIZE}, "expected RLE counts of 0 or more, got None"),
        ({"counts": [19.0, 1], "size": SIZE}, "expected RLE counts of 0 or more, got [19.0, 1]"),
        ({"counts": [21, -1], "size": SIZE}, "expected RLE counts of 0 or more, got [21, -1]"),
        ({"counts": [10, 9], "size": SIZE}, "expected RLE counts of 20 pixels, got 19"),
        ({"counts": [10, 11], "size": SIZE}, "expected RLE counts of 20 pixels, got 21"),
        ({"counts": "01400000", "size": SIZE}, "expected RLE counts of 20 pixels, got 16"),
        ({"counts": "01 4", "size": SIZE}, "expected compressed RLE counts, got ' ' among them"),
        (
            {"counts": "01P", "size": SIZE},
            "expected complete compressed RLE counts, got truncated ones",
        ),
    ],
)
def test_a_malformed_segmentation_is_refused(segmentation, words):
    with pytest.raises(UserError) as caught:
        drawn(region(7, 0, [box(0, 0, 1, 1)]), region(918, 0, segmentation))
    assert str(caught.value) == (
        f"{SOURCE}: annotation 918 of COCO_val2014_000000000042: {words}; "
        "download the annotations again"
    )


def many(*, malformed=()):
    """Images for two processes, each with one object of one pixel."""
    return [
        annotated(
            region(number, number % 80, [] if number in malformed else [box(1, 0, 2, 1)]),
            name=f"image{number}",
        )
        for number in range(2 * CHUNK + 1)
    ]


MANY = 50_000
DRAW = f"""
import sys
from pathlib import Path

from recam.datasets.regions import AnnotatedImage, write_masks

if __name__ == "__main__":
    images = [
        AnnotatedImage(
            id=f"image{{number}}", height={HEIGHT}, width={WIDTH}, regions=[], source=Path()
        )
        for number in range({MANY})
    ]
    write_masks(images, Path(sys.argv[1]), workers=2)
"""


def test_two_processes_write_the_same_bytes_as_one(tmp_path):
    images = many()
    for workers in (1, 2):
        write_masks(images, tmp_path / str(workers), workers=workers)
    for image in images:
        one, two = (tmp_path / f"{workers}/{image.id}.png" for workers in (1, 2))
        assert one.read_bytes() == two.read_bytes()
        np.testing.assert_array_equal(read_mask(one), draw_mask(image))
    assert len(list((tmp_path / "2").iterdir())) == len(images)


def test_an_error_in_a_worker_is_raised_here(tmp_path):
    images = many(malformed=[2 * CHUNK])
    with pytest.raises(UserError, match="annotation 64 of image64: expected polygons or RLE"):
        write_masks(images, tmp_path, workers=2)


def test_masks_that_are_there_are_not_drawn_again(tmp_path):
    images = many()
    write_masks(images, tmp_path, workers=1)
    before = {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in tmp_path.iterdir()}
    gone = sorted(before)[::7]
    for file in gone:
        file.unlink()
    write_masks(images, tmp_path, workers=1)
    after = {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in tmp_path.iterdir()}
    assert after.keys() == before.keys()
    assert all((after[file] == before[file]) == (file not in gone) for file in before)


def test_a_killed_run_leaves_no_process_and_goes_on(tmp_path):
    masks = tmp_path / "masks"
    script = tmp_path / "draw.py"
    script.write_text(DRAW)
    process = subprocess.Popen([sys.executable, script, masks], stdout=subprocess.PIPE)
    while not (masks.is_dir() and any(masks.glob("*.png"))):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=20)  # until the last process that could write to it has ended
    before = {file: file.stat().st_mtime_ns for file in masks.glob("*.png")}
    assert 0 < len(before) < MANY
    images = [annotated(name=f"image{number}") for number in range(len(before) + 100)]
    write_masks(images, masks, workers=1)
    assert all(file.stat().st_mtime_ns == mtime for file, mtime in before.items())
    for image in images:
        np.testing.assert_array_equal(read_mask(masks / f"{image.id}.png"), draw_mask(image))
