"""Images of the report's grids: gains, typical images, losses and failures, of all classes.

Values are equal if they round to the same whole mIoU, as they are printed. Among equals, the images
show as many classes as possible.
"""
# Pandas' types are too wide.
# pyright: reportArgumentType=false, reportCallIssue=false, reportReturnType=false

from dataclasses import dataclass

import pandas as pd

from recam.data.coverage import covering_images, labels_of
from recam.report.methods import before_and_after, ordered
from recam.report.object_outcomes import image_mious
from recam.report.style import look_of


@dataclass(frozen=True, slots=True)
class Group:
    """Image ids, and the words that say how they were chosen."""

    ids: list[str]
    words: str


def mious_of(counts: pd.DataFrame | None, stage: str) -> pd.DataFrame:
    """MIoU in percent, a row for each scored image, a column for each method."""
    if counts is None or stage not in set(counts["stage"]):
        return pd.DataFrame()
    mious = image_mious(pd.DataFrame(counts[counts["stage"] == stage]))
    return mious.pivot_table(index="image", columns="method", values="miou")


def groups_by_score(mious: pd.DataFrame, labels: pd.DataFrame, *, count: int) -> dict[str, Group]:
    """Groups of at most ``count`` images by the name of their file.

    ``mious`` is that of ``mious_of``, and ``labels`` has a row for each image. With methods before
    and after re-activation: the largest gains, those closest to the median, the largest losses and
    the failures; else the same of the mIoU of ReCAM or the first method.
    """
    methods = ordered(str(method) for method in mious)
    pair = before_and_after(methods)
    after = pair[1] if pair else "recam" if "recam" in methods else methods[0]
    name, scores = look_of(after).name, mious[after].dropna()
    if pair:
        value = (mious[after] - mious[pair[0]]).dropna()
        before = look_of(pair[0]).name
        share, median = 100 * (value > 0).mean(), value.median()
        names = ("1-largest-gains", "2-typical", "3-largest-losses")
        words = (
            f"Largest gains in mIoU of {name} over {before}.",
            f"Gains closest to the median ({median:+.1f} mIoU). "
            f"{name} gains in {share:.0f} % of the images.",
            f"Largest losses in mIoU of {name} against {before}.",
        )
    else:
        value = scores
        names = ("1-best", "2-typical", "3-worst")
        words = (
            f"Highest mIoU of {name}.",
            f"MIoU of {name} closest to the median ({value.median():.1f}).",
            f"Lowest mIoU of {name}.",
        )
    sorted_by = (-value, (value - value.median()).abs(), value, scores)
    names, words = (*names, "4-failures"), (*words, f"Lowest mIoU of {name}: selected failures.")
    return {
        file: Group(_lowest(values, labels, count=count), said)
        for file, values, said in zip(names, sorted_by, words, strict=True)
    }


def _lowest(values: pd.Series, labels: pd.DataFrame, *, count: int) -> list[str]:
    """The images of the lowest rounded values; among equals, those that show most classes."""
    ids = [str(image_id) for image_id in values.index]
    ranks = values.round().astype(int).to_numpy()
    return covering_images(ids, labels_of(ids, labels), count=count, ranks=ranks)
