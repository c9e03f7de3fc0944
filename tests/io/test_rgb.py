"""Images of any mode become 8-bit RGB by one rule each, and other files are named."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from recam.core.errors import UserError
from recam.io.images import read_image, read_mask

WORDS = np.array([[[0x100, 0x7FF, 0xFFF], [0, 0x10, 0x23]]], np.uint16)  # of a 12-bit camera
IN_BYTES = (WORDS >> 4).tolist()


def chunk(kind, content):
    crc = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + crc


def write_png(path, values, *, colour, bits=16):
    """Write a PNG of ``bits`` a channel and of the colour type ``colour``."""
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def write_tiff(path, values, *, order):
    """Write an uncompressed TIFF of 16 bits a channel, in the byte order ``<`` or ``>``."""
    height, width, channels = values.shape
    tags = {
        256: (3, width),
        257: (3, height),
        258: (3, 16),
        259: (3, 1),
        262: (3, 2),
        273: (4, 200),
        277: (3, channels),
        278: (3, height),
        279: (4, values.nbytes),
    }
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    for tag, (kind, value) in tags.items():
        head += struct.pack(f"{order}HHI", tag, kind, 1)
        head += struct.pack(f"{order}I" if kind == 4 else f"{order}HH", *(value, 0)[: 6 - kind - 1])
    path.write_bytes(head.ljust(200, b"\0") + values.astype(f"{order}u2").tobytes())


def test_the_bits_in_use_of_16_bit_colour_are_scaled_to_8(tmp_path):
    path = tmp_path / "image.png"
    write_png(path, WORDS, colour=2)
    assert read_image(path).tolist() == IN_BYTES


def test_full_16_bits_keep_their_upper_byte(tmp_path):
    path = tmp_path / "image.png"
    write_png(path, WORDS << 4, colour=2)
    assert read_image(path).tolist() == IN_BYTES


def test_8_bits_in_16_stay_as_they_are(tmp_path):
    path = tmp_path / "image.png"
    write_png(path, WORDS >> 4, colour=2)
    assert read_image(path).tolist() == IN_BYTES


@pytest.mark.parametrize("opaque", [0xFFFF, 0xFFF])
def test_alpha_of_16_bits_puts_an_image_on_white(tmp_path, opaque):
    path = tmp_path / "image.png"
    alpha = np.array([[[opaque], [0]]], np.uint16)
    write_png(path, np.concatenate([WORDS, alpha], axis=2), colour=6)
    assert read_image(path).tolist() == [[IN_BYTES[0][0], [255, 255, 255]]]
    write_png(path, np.concatenate([WORDS[..., 2:], alpha], axis=2), colour=4)
    assert read_image(path).tolist() == [[[255] * 3, [255] * 3]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_colour_of_tiff_is_read_in_both_orders_of_bytes(tmp_path, order):
    path = tmp_path / "image.tif"
    write_tiff(path, WORDS, order=order)
    assert read_image(path).tolist() == IN_BYTES


@pytest.mark.parametrize("name", ["image.png", "image.tif"])
def test_16_bit_grey_is_scaled_too(tmp_path, name):
    Image.fromarray(WORDS[..., 2]).save(tmp_path / name)
    assert read_image(tmp_path / name).tolist() == [[[255] * 3, [2] * 3]]


def test_floating_point_values_are_fractions(tmp_path):
    Image.fromarray(np.array([[0, 0.2, 1]], np.float32)).save(tmp_path / "image.tif")
    assert read_image(tmp_path / "image.tif")[0, :, 0].tolist() == [0, 51, 255]


@pytest.mark.parametrize("values", [[-0.1, 1], [0, 1.1], [0, np.nan]])
def test_other_floating_point_values_are_refused(tmp_path, values):
    Image.fromarray(np.array([values], np.float32)).save(tmp_path / "image.tif")
    with pytest.raises(UserError, match=r"image\.tif: expected floating-point values from 0 to 1"):
        read_image(tmp_path / "image.tif")


@pytest.mark.parametrize(
    ("mode", "clear", "half", "solid"),
    [("RGBA", (9, 9, 9, 0), (0, 0, 0, 128), (7, 8, 9, 255)), ("LA", (9, 0), (0, 128), (7, 255))],
)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_transparent_pixels_are_put_on_white(tmp_path, mode, clear, half, solid, suffix):
    path = tmp_path / f"image.{suffix}"
    image = Image.new(mode, (3, 1))
    for x, pixel in enumerate((clear, half, solid)):
        image.putpixel((x, 0), pixel)
    image.save(path)
    first, second, third = read_image(path)[0].tolist()
    assert (first, second) == ([255] * 3, [127] * 3)
    assert third == (list(solid[:3]) if mode == "RGBA" else [7] * 3)


def test_a_transparent_colour_of_a_palette_is_put_on_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([1, 2, 3, 4, 5, 6])
    for suffix in ("png", "gif"):
        image.save(tmp_path / f"image.{suffix}", transparency=0)
        assert read_image(tmp_path / f"image.{suffix}").tolist() == [[[255] * 3, [4, 5, 6]]]


def test_the_colours_of_an_image_without_any_visible_pixel_are_used(tmp_path):
    Image.new("RGBA", (2, 1), (4, 5, 6, 0)).save(tmp_path / "image.png")
    assert read_image(tmp_path / "image.png").tolist() == [[[4, 5, 6]] * 2]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "empty file"),
        (b"\0" * 900, "zeros only"),
        (b"\0\0\0\x18ftypheic", "a HEIC image); convert it to JPEG or PNG"),
        (b"\0\0\0\x18ftypavif", "an AVIF image"),
        (b"\0\0\0\x18ftypcrx ", "a camera's RAW file"),
        (b"FUJIFILMCCD-RAW", "a camera's RAW file"),
        (b"%PDF-1.4", "a PDF file"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b'<?xml version="1.0"?><svg>', "an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X", "a hidden file of a Mac"),
        (b"\xff\xd8\xff\xe0", "a JPEG image, damaged or of a rare kind"),
        (b"hello", "unknown image format"),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path, head, words):
    path = tmp_path / "image.jpg"
    path.write_bytes(head)
    with pytest.raises(UserError) as caught:
        read_image(path)
    assert f"{path}: not a readable image ({words}" in str(caught.value)


def test_the_preview_in_a_raw_file_is_no_photograph(tmp_path):
    Image.new("RGB", (4, 2)).save(tmp_path / "image.tif", tiffinfo={254: 1})
    with pytest.raises(UserError, match="a camera's RAW file, of which only a preview"):
        read_image(tmp_path / "image.tif")


def test_a_grey_mask_of_fewer_bits_is_refused_since_readers_scale_it(tmp_path):
    head = struct.pack(">IIBBBBB", 4, 1, 2, 0, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(b"\0\x1b")), (b"IEND", b"")
    content = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
    (tmp_path / "mask.png").write_bytes(content)
    with pytest.raises(UserError, match="expected 8 bits a pixel in a grey PNG"):
        read_mask(tmp_path / "mask.png")
