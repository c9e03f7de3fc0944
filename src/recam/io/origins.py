"""The step that makes each file of an experiment, and errors that say how to make it anew."""

import re
from pathlib import Path

from recam.core.errors import UserError

RETRAININGS = ("recam", "control")  # last part of the names of re-activated classifiers
TRAIN_CAM, TRAIN_RECAM = "train_cam", "train_recam"
# Steps by the first part of a file's name: a network has a checkpoint, a state and a curve.
NETWORKS = {
    "segmenter": "train_seg",
    "irn": "train_irn",
    "ccam": "train_saliency",
    "clusters": "make_clusters",
    "texts": "embed_texts",
}
FILES = {
    "cut.json": "make_pseudo",
    **dict.fromkeys(("metrics.json", "signs.json", "prediction.json"), "evaluate"),
    "counts.csv": "evaluate",
    **dict.fromkeys(("per_class.csv", "thresholds.csv", "confusion.csv"), "evaluate"),
}
OWN_MASKS = "own_masks"  # of a segmenter, for the second round of its training
SALIENCY, MAPS = "saliency", "maps"  # a folder of results, and one in it
FOLDERS = {
    "cams": "make_cams",
    **dict.fromkeys(("spread", "scores", "pseudo"), "make_pseudo"),
    "predictions": "evaluate",
    "irn_masks": "train_irn",
    OWN_MASKS: "train_seg",
    MAPS: "train_saliency",
}
LIST = ".sha256"  # ending of a list of checksums, named as its folder
OF_FOLDERS = (".npz", ".png")  # endings of the files in such folders
ARCHIVE, PART = ".zip", ".part"  # endings of archives of such files, finished and unfinished
PARTIAL = ".partial"  # ending of a folder that a killed run left
OF_SHARD = re.compile(r"\.\d+-of-\d+$")  # ending of a folder of a part of a step's files


def step_of(path: Path) -> str:
    """The step that makes a file of results/, by its name or its folder; empty for another file."""
    network = path.name.split(".")[0].removesuffix("_curve")
    if network == "classifier":
        of_run = path.absolute().parent.name.split("-")
        return TRAIN_RECAM if of_run[-1] in RETRAININGS else TRAIN_CAM
    if path.suffix in (".pt", ".csv") and network in NETWORKS:
        return NETWORKS[network]
    return FILES.get(path.name) or _step_of_folder(path)


def _step_of_folder(path: Path) -> str:
    """The step that fills the folder of a file, or of a list of checksums."""
    if path.suffix not in (LIST, ARCHIVE, *OF_FOLDERS):
        return ""
    place = path.absolute().with_suffix("") if path.suffix == LIST else folder_of(path.absolute())
    folder = OF_SHARD.sub("", place.name.removeprefix(".").removesuffix(PARTIAL))
    if folder == MAPS and place.parent.name != SALIENCY:  # given by the user
        return ""
    return FOLDERS.get(folder, "")


def folder_of(path: Path) -> Path:
    """The folder of a file, whose address may name an archive: ``folder/00000.zip/name``."""
    return path.parent.parent if path.parent.suffix in (ARCHIVE, PART) else path.parent


def damaged(path: Path, reason: str) -> UserError:
    """The error of a file that is not as it was written; ``reason`` is the difference."""
    return UserError(f"{path}: damaged ({reason}); {remedy_of(path)}")


def remedy_of(path: Path) -> str:
    """How a file is made anew: a finished folder is made as a whole, any other file alone."""
    step = step_of(path)
    if not step:
        return "replace it, or delete it and run the step that makes it"
    gone = f"the folder {folder_of(path)}" if _is_of_folder(path) else "it"
    return f"delete {gone} and run again: {step} makes it anew"


def _is_of_folder(path: Path) -> bool:
    folder = folder_of(path)
    is_named = folder.name in FOLDERS or folder != path.parent
    return is_named and path.suffix in (ARCHIVE, *OF_FOLDERS) and bool(step_of(path))


def unreadable(path: Path, error: OSError) -> UserError:
    """The error of a file that could not be opened, which says nothing about its content."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        if path.is_symlink():
            return UserError(
                f"{path}: is a link to {path.readlink()}, which does not exist; restore that "
                "file or delete the link"
            )
        if _is_of_folder(path) and folder_of(path).is_dir():
            return UserError(f"{path}: not found; {remedy_of(path)}")
        step = step_of(path)
        makes = f"{step}, which makes it" if step else "the step that makes it"
        return UserError(f"{path}: not found; run {makes}")
    if isinstance(error, PermissionError):
        return UserError(f"{path}: may not be read; change its permissions and run again")
    if isinstance(error, IsADirectoryError):
        return UserError(f"{path}: expected a file, got a folder; move the folder and run again")
    return UserError(f"{path}: cannot be read ({error.strerror}); mend this and run again")
