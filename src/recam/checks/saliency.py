"""Checks of a folder of saliency maps against a data set; no file is opened."""

from collections.abc import Mapping
from pathlib import Path

from recam.core.errors import UserError


def saliency_folder(source: str | None) -> Path | None:
    """The folder ``download.saliency``, None if left out. Raises UserError if it is missing."""
    if source is None:
        return None
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"saliency: expected the path of a folder of grey maps, got {source}, which does not "
            "exist; correct or remove download.saliency"
        )
    return folder


def saliency_errors(folder: Path, splits: Mapping[str, tuple[str, ...]]) -> list[str]:
    """An error for each training split (named train...) with an image that has no map."""
    there = {path.stem for path in folder.glob("*.png")}
    sentences: list[str] = []
    for name, ids in splits.items():
        missing = [image_id for image_id in ids if image_id not in there]
        if name.startswith("train") and missing:
            sentences.append(
                f"{folder}: expected a saliency map for each of the {len(ids):,} images of split "
                f"{name}, {len(missing):,} are missing (first: {missing[0]}.png); add them, or "
                "remove download.saliency"
            )
    return sentences
