"""Images and masks come back from disk, and any viewer opens them."""

import numpy as np
import pytest
from PIL import Image

from recam.core.errors import UserError
from recam.core.labels import IGNORE
from recam.io.images import (
    check_mask,
    image_size,
    read_image,
    read_mask,
    resized,
    write_image,
    write_mask,
)

MASK = np.array([[0, 1, 2], [20, 254, IGNORE]], dtype=np.uint8)


def test_a_mask_comes_back_as_it_was_written(tmp_path):
    write_mask(tmp_path / "mask.png", MASK)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), MASK)


def test_a_mask_is_a_palette_image_in_the_colours_of_pascal_voc(tmp_path):
    write_mask(tmp_path / "mask.png", MASK)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "P"
        colours = np.asarray(image.convert("RGB"))
    assert colours[0, 1].tolist() == [128, 0, 0]
    assert colours[1, 2].tolist() == [224, 224, 192]


def test_a_grey_mask_is_read(tmp_path):
    Image.fromarray(MASK).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), MASK)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "1", "I;16"])
def test_a_mask_of_another_mode_is_refused(tmp_path, mode):
    Image.new(mode, (2, 2)).save(tmp_path / "mask.png")
    with pytest.raises(
        UserError, match=f"mask.png: expected a palette or grey PNG of class ids, got mode {mode}"
    ):
        read_mask(tmp_path / "mask.png")


def test_a_missing_mask_is_named(tmp_path):
    with pytest.raises(UserError, match=r"mask\.png: mask not found; add it, or remove its id"):
        read_mask(tmp_path / "mask.png")


def test_a_damaged_mask_is_named(tmp_path):
    (tmp_path / "mask.png").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"mask\.png: not a readable mask"):
        read_mask(tmp_path / "mask.png")


def test_a_fitting_mask_passes(tmp_path):
    check_mask(tmp_path / "mask.png", MASK, size=(2, 3), num_ids=255)


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"mask\.png: is 3x2 pixels, its image 2x3; make them the"):
        check_mask(tmp_path / "mask.png", MASK, size=(3, 2), num_ids=255)


def test_the_least_id_beyond_the_classes_is_named(tmp_path):
    with pytest.raises(UserError, match=r"mask id 20 is beyond .*; expected 0\.\.19 or 255"):
        check_mask(tmp_path / "mask.png", MASK, size=(2, 3), num_ids=20)


def test_an_image_comes_back_as_it_was_written(tmp_path):
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    write_image(tmp_path / "image.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), image)


def test_a_grey_image_is_read_as_three_channels(tmp_path):
    Image.new("L", (3, 2), 7).save(tmp_path / "image.png")
    image = read_image(tmp_path / "image.png")
    assert image.shape == (2, 3, 3)
    assert (image == 7).all()


def test_cmyk_and_palette_images_become_rgb(tmp_path):
    path = tmp_path / "image.jpg"
    Image.new("CMYK", (2, 1), (0, 255, 255, 0)).save(path, quality=100)  # ink of magenta and yellow
    np.testing.assert_allclose(read_image(path)[0, 0], [255, 0, 0], atol=3)
    path = tmp_path / "image.png"
    image = Image.new("P", (2, 1), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(path)
    assert read_image(path).tolist() == [[[10, 20, 30]] * 2]


def ramp(width, height=8):
    """An image that grows brighter from left to right."""
    row = np.linspace(0, 255, width).round().astype(np.uint8)
    return Image.fromarray(np.tile(row[:, None], (height, 1, 3)))


@pytest.mark.parametrize(
    ("at_least", "shape"),
    [
        ((4, 6), (8, 13)),  # an eighth of 64 x 100
        ((5, 6), (16, 25)),  # an eighth is less than twice as high
        ((4, 7), (16, 25)),  # and here less than twice as wide
        ((16, 25), (32, 50)),
        ((17, 25), (64, 100)),
        ((64, 100), (64, 100)),
        ((200, 1), (64, 100)),
        (None, (64, 100)),
    ],
)
def test_a_jpeg_is_decoded_twice_as_large_as_needed_or_larger(tmp_path, at_least, shape):
    Image.new("RGB", (100, 64)).save(tmp_path / "image.jpg")
    assert read_image(tmp_path / "image.jpg", at_least=at_least).shape == (*shape, 3)


@pytest.mark.parametrize(("name", "at_least"), [("image.png", (1, 1)), ("image.jpg", (5, 60))])
def test_an_image_that_is_not_decoded_smaller_is_the_same_to_the_bit(tmp_path, name, at_least):
    noise = np.random.default_rng(0).integers(256, size=(64, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    whole = read_image(tmp_path / name)
    np.testing.assert_array_equal(read_image(tmp_path / name, at_least=at_least), whole)


@pytest.mark.parametrize("width", [120, 121, 127, 128])  # all, one or seven of the last eight
def test_a_jpeg_that_was_decoded_smaller_is_resized_without_a_shift(tmp_path, width):
    path, stored = tmp_path / "image.jpg", (64, width)
    ramp(width, 64).save(path, quality=100)
    small = read_image(path, at_least=(4, 7))
    assert small.shape == (8, -(-width // 8), 3)
    expected = resized(read_image(path), (4, 7), stored=stored)
    assert expected.shape == (4, 7, 3)
    np.testing.assert_allclose(
        resized(small, (4, 7), stored=stored).astype(int), expected.astype(int), atol=2
    )


@pytest.mark.parametrize(("mode", "colour"), [("L", 90), ("CMYK", (0, 255, 255, 0))])
def test_grey_and_cmyk_jpegs_are_decoded_smaller_too(tmp_path, mode, colour):
    Image.new(mode, (64, 64), colour).save(tmp_path / "image.jpg", quality=100)
    whole = read_image(tmp_path / "image.jpg")
    small = read_image(tmp_path / "image.jpg", at_least=(16, 16))
    assert small.shape == (32, 32, 3)
    np.testing.assert_array_equal(small, whole[::2, ::2])


def test_a_truncated_jpeg_is_refused_at_any_scale(tmp_path):
    path = tmp_path / "image.jpg"
    noise = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-1000])
    refusals = []
    for at_least in (None, (30, 30), (16, 16), (4, 4)):
        with pytest.raises(UserError, match=r"image\.jpg: not a readable image") as caught:
            read_image(path, at_least=at_least)
        refusals.append(str(caught.value))
    assert set(refusals) == {refusals[0]}


@pytest.mark.parametrize(
    ("name", "form"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP"), ("tif", "TIFF")]
)
@pytest.mark.parametrize(
    ("turned", "upright"),
    [
        (1, [[1, 2], [3, 4]]),
        (2, [[2, 1], [4, 3]]),
        (3, [[4, 3], [2, 1]]),
        (4, [[3, 4], [1, 2]]),
        (5, [[1, 3], [2, 4]]),
        (6, [[3, 1], [4, 2]]),
        (7, [[4, 2], [3, 1]]),
        (8, [[2, 4], [1, 3]]),
    ],
)
def test_an_image_is_read_upright(tmp_path, name, form, turned, upright):
    path, exif = tmp_path / f"image.{name}", Image.Exif()
    exif[274] = turned
    quarters = np.kron(np.array([[1, 2], [3, 4]], np.uint8) * 60, np.ones((16, 24), np.uint8))
    Image.fromarray(quarters).convert("RGB").save(path, form, exif=exif, quality=100)
    image = read_image(path)
    assert image_size(path) == image.shape[:2] == ((32, 48) if turned < 5 else (48, 32))
    height, width = (length // 4 for length in image.shape[:2])
    centres = image[height :: 2 * height, width :: 2 * width, 0]
    assert (np.round(centres / 60) == upright).all()
    small = read_image(path, at_least=(3, 2) if turned > 4 else (2, 3))
    assert (small.shape[0] > small.shape[1]) == (turned > 4)


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(UserError, match=r"image\.png: not a readable image"):
        read_image(tmp_path / "image.png")


def test_the_size_of_an_image_is_its_height_and_width(tmp_path):
    for name in ("image.png", "image.jpg"):
        Image.new("RGB", (4, 2)).save(tmp_path / name)
        assert image_size(tmp_path / name) == (2, 4)
        assert image_size(tmp_path / name) == read_image(tmp_path / name).shape[:2]


@pytest.mark.parametrize("content", [b"", b"not an image", None], ids=["empty", "text", "missing"])
def test_a_file_that_is_no_image_has_no_size(tmp_path, content):
    if content is not None:
        (tmp_path / "image.png").write_bytes(content)
    with pytest.raises(UserError, match=r"image\.png: not a readable image .*; .* ?remove it"):
        image_size(tmp_path / "image.png")
