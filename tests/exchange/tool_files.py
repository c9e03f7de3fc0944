"""Files as other tools write them, and the commands that read and write them."""

import base64
import io
import json

import numpy as np
from PIL import Image

from recam.commands.main import main
from recam.data.layout import read_classes, read_labels
from recam.io.images import read_mask

SIZE = (10, 8)  # width, height of every image


def photo(path, grey=90, size=SIZE):
    """Write an image and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (grey, grey, grey)).save(path)
    return path


def turned_photo(path, orientation):
    """Write an image with an EXIF rotation: stored 10x8, upright 8x10."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", SIZE).save(path, exif=exif)
    return path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def base64_png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def recam(capsys, *words):
    """Run the command line; return its exit code and its messages."""
    code = main([str(word) for word in words])
    return code, capsys.readouterr().err.strip()


def imported(capsys, source, *options):
    """Import into ``out`` beside the source; return that folder and the messages."""
    out = source.parent / "out"
    code, text = recam(capsys, "import", source, "--out", out, *options)
    assert code == 0, text
    return out, text


def refusal(capsys, source, *options):
    """The only message of an import that fails; nothing may be left of it."""
    before = sorted(source.parent.rglob("*"))
    code, text = recam(capsys, "import", source, "--out", source.parent / "out", *options)
    assert code == 1
    assert sorted(source.parent.rglob("*")) == before
    assert len(text.splitlines()) == 1
    return text


def labels_in(out):
    """Image -> names of its classes."""
    classes = read_classes(out / "classes.txt")
    table = read_labels(out / "labels.csv", classes)
    return {str(i): {c for c in classes if table.loc[i, c]} for i in table.index}


def boxes_in(out):
    """The rows of boxes.csv without header."""
    return (out / "SegmentationClass/boxes.csv").read_text().splitlines()[1:]


def mask_in(out, name):
    return read_mask(out / f"SegmentationClass/{name}.png")


def grid(*rows):
    """A uint8 array from rows of digits; ``x`` is 255."""
    return np.array([[255 if c == "x" else int(c) for c in row] for row in rows], np.uint8)


def annotation(number, image, category, **more):
    """An annotation as COCO's own files have it: by default a polygon of 3x2 pixels."""
    record = {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]],
        "area": 6.0,
        "bbox": [1, 1, 3, 2],
        "iscrowd": 0,
    }
    return record | more


def shape(label, points, kind="polygon", **more):
    """A shape as labelme 5 writes it."""
    record = {
        "label": label,
        "points": points,
        "group_id": None,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
    }
    return record | more


def labelled(*shapes, **more):
    """A file of labelme 5 for ``a.jpg``."""
    record = {
        "version": "5.4.1",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": "a.jpg",
        "imageData": None,
        "imageHeight": 8,
        "imageWidth": 10,
    }
    return record | more


SQUARE = shape("cat", [[1, 1], [4, 1], [4, 3], [1, 3]])
