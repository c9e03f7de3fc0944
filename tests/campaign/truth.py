"""True masks as label editors write them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from photos import (
    Photos,
    mask_file,
    mask_of,
    write_masks,
    write_photos,
    write_table,
)
from pictures import Picture, cut_short, drawn, flipped, foreign, huge_header, saved, unchanged
from PIL import Image
from tables import OF_FOLDER
from trial import Scene, Trial, warned


def mask(scene: Scene) -> Trial:
    """One true mask of twelve is mutated."""
    photos = write_photos(scene.folder / "own", scene.random)
    write_table(photos)
    (photos.folder / "classes.txt").write_text("cat\ndog\nhen\n")
    write_masks(photos)
    image_id = scene.random.choice([i for i, names in photos.labels.items() if names])
    about, mutate = scene.random.choice(list(OF_MASKS.items()))
    made = Picture(scene=scene, pixels=mask_of(photos, image_id))
    mutate(made)
    place = mask_file(photos, image_id)
    place.unlink()
    place.with_name(f"{image_id}{made.suffix}").write_bytes(made.content)
    return Trial(
        about=f"mask {made.suffix}: {about}",
        program="download",
        words=OF_FOLDER,
        names=(image_id, "SegmentationClass"),
        right=_rule_of_mask(photos, image_id, made),
        accepted=made.accepted,
    )


def _rule_of_mask(photos: Photos, image_id: str, made: Picture) -> Callable[[Path, str], str]:
    def right(folder: Path, output: str) -> str:
        file = folder / f"data/SegmentationClass/{image_id}.png"
        if warned(output, (image_id, *made.told), ("mask",)):
            return ""
        if not file.exists():
            return "the mask is left out"
        with Image.open(file) as read:
            found = np.array(read)
        return "" if np.array_equal(found, made.pixels) else "other ids in the mask"

    return right


def _mask_as(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Picture], None]:
    def mutate(made: Picture) -> None:
        made.content = saved(Image.fromarray(change(made.pixels)), "PNG")

    return mutate


def _colours(made: Picture) -> None:
    """Colours in place of ids, as CVAT and labelme's viewer write them."""
    colours = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)], np.uint8)
    picture = Image.fromarray(colours[made.pixels])
    picture = picture.convert(made.scene.random.choice(["RGB", "RGBA", "P"]))
    made.content = saved(picture, "PNG")


def _palette_order(made: Picture) -> None:
    """A tool that saves again and orders the palette anew: other ids, the same colours."""
    order = np.array([3, 1, 0, 2], np.uint8)
    picture = Image.fromarray(order[made.pixels])
    picture.putpalette([0, 128, 0, 128, 0, 0, 128, 128, 0, 0, 0, 0])
    made.content = saved(picture, "PNG")


def _beyond(made: Picture) -> None:
    made.pixels = made.pixels.copy()
    made.pixels[-1, 0] = made.scene.random.choice([4, 17, 200, 254])
    made.content = saved(drawn(made), "PNG")
    made.accepted = False


def _other_size(made: Picture) -> None:
    factor = made.scene.random.choice([(2, 2), (1, 2), (3, 1)])
    made.pixels = np.kron(made.pixels, np.ones(factor, np.uint8))
    made.content = saved(drawn(made), "PNG")
    made.accepted = False


def _turned_mask(made: Picture) -> None:
    made.pixels = np.rot90(made.pixels).copy()
    made.content = saved(drawn(made), "PNG")
    made.accepted = False


def _other_mask_name(made: Picture) -> None:
    made.content = saved(drawn(made), "PNG")
    made.suffix = made.scene.random.choice(
        ["_mask.png", ".PNG", ".Png", "-label.png", ".png.png", "_gt.png", " (1).png"]
    )
    made.told = (made.suffix,)


def _other_mask_form(made: Picture) -> None:
    form, made.suffix = made.scene.random.choice(
        [("BMP", ".bmp"), ("TIFF", ".tif"), ("GIF", ".gif"), ("WEBP", ".webp"), ("JPEG", ".jpg")]
    )
    made.content = saved(drawn(made), form)
    made.told = (made.suffix,)


def _mode_of_mask(mode: str, form: str = "PNG") -> Callable[[Picture], None]:
    def mutate(made: Picture) -> None:
        made.content = saved(drawn(made).convert(mode), form)

    return mutate


def _with_palette(made: Picture) -> None:
    picture = drawn(made)
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    made.content = saved(picture, "PNG")
    made.accepted = True


def _with_ignore(made: Picture) -> None:
    made.pixels = made.pixels.copy()
    made.pixels[-2:] = 255
    made.content = saved(drawn(made), "PNG")
    made.accepted = True


OF_MASKS: dict[str, Callable[[Picture], None]] = {
    "unchanged": unchanged,
    "with a palette": _with_palette,
    "with ignored pixels": _with_ignore,
    "0 and 255": _mask_as(lambda ids: np.where(ids > 0, 255, 0).astype(np.uint8)),
    "0 and 1": _mask_as(lambda ids: (ids > 0).astype(np.uint8)),
    "16 bits": _mask_as(lambda ids: ids.astype(np.uint16)),
    "16 bits, stretched": _mask_as(lambda ids: ids.astype(np.uint16) * 257),
    "stretched": _mask_as(lambda ids: (ids * 85).astype(np.uint8)),
    "inverted": _mask_as(lambda ids: 255 - ids),
    "from 0": _mask_as(lambda ids: (ids - 1).astype(np.uint8)),
    "one bit": _mode_of_mask("1"),
    "with alpha": _mode_of_mask("LA"),
    "32 bits": _mode_of_mask("I", "TIFF"),
    "RGB of grey": _mode_of_mask("RGB"),
    "colours": _colours,
    "another palette": _palette_order,
    "ids beyond the classes": _beyond,
    "another size": _other_size,
    "turned": _turned_mask,
    "another name": _other_mask_name,
    "another format": _other_mask_form,
    "truncated": cut_short,
    "flipped bit": flipped,
    "no image": foreign(b"", b"\0", b"text", b"\x89PNG\r\n\x1a\n"),
    "huge header": huge_header,
}
