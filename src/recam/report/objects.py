"""How objects were found, image by image: what a mean over all pixels hides.

All is read off one table, *counts*: for every image how many pixels of each true id were given each
predicted id (columns random_seed, method, stage, image, truth, prediction, pixels; ids as in masks,
pairs that do not occur are left out). An object here is all of a class's pixels in an image.
"""
# Pandas says of nearly everything that it may be a column, a table or a number.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportIndexIssue=false, reportReturnType=false

from itertools import pairwise

import numpy as np
import pandas as pd

from recam.core.labels import BACKGROUND

RUN = ["random_seed", "method", "stage"]
IMAGE = [*RUN, "image"]
OUTCOMES = ("found", "other", "missed", "extra")
CLASS_ALONE, CLASSES_TOGETHER = "one class", "several classes"


def image_mious(counts: pd.DataFrame) -> pd.DataFrame:
    """Columns of IMAGE and miou: percent, over the ids in the image's truth or prediction."""
    right = counts[counts["truth"] == counts["prediction"]]
    sums = pd.DataFrame(
        {
            "right": right.groupby([*IMAGE, "truth"])["pixels"].sum().rename_axis([*IMAGE, "id"]),
            "true": counts.groupby([*IMAGE, "truth"])["pixels"].sum().rename_axis([*IMAGE, "id"]),
            "given": counts.groupby([*IMAGE, "prediction"])["pixels"]
            .sum()
            .rename_axis([*IMAGE, "id"]),
        }
    ).fillna(0)
    sums["miou"] = 100 * sums["right"] / (sums["true"] + sums["given"] - sums["right"])
    return sums.groupby(IMAGE)["miou"].mean().reset_index()


def objects(counts: pd.DataFrame) -> pd.DataFrame:
    """A row for each object: columns of IMAGE, class_id, then pixels, share, OUTCOMES and company.

    ``pixels`` is the object's true size, ``share`` that size in percent of the image's judged
    pixels. Of its pixels, ``found`` have its class, ``other`` another class, ``missed`` are called
    background; ``extra`` are the image's pixels that have its class and should not. Pixels of a
    class that the image has not at all belong to no object and do not count. ``company`` tells
    whether the image's truth shows one class or several.
    """
    key = [*IMAGE, "class_id"]
    of_objects = counts[counts["truth"] != BACKGROUND].rename(columns={"truth": "class_id"})
    prediction, class_id = of_objects["prediction"], of_objects["class_id"]
    kind = np.select(
        [prediction == class_id, prediction == BACKGROUND], ["found", "missed"], "other"
    )
    rows = (
        of_objects.assign(kind=kind)
        .pivot_table(index=key, columns="kind", values="pixels", aggfunc="sum", fill_value=0)
        .reindex(columns=["found", "other", "missed"], fill_value=0)
    )
    wrong = counts[(counts["truth"] != counts["prediction"]) & (counts["prediction"] != BACKGROUND)]
    extra = wrong.rename(columns={"prediction": "class_id"}).groupby(key)["pixels"].sum()
    rows["extra"] = extra.reindex(rows.index, fill_value=0)
    rows["pixels"] = rows[["found", "other", "missed"]].sum(axis=1)
    judged = counts.groupby(IMAGE)["pixels"].sum()
    rows = pd.DataFrame(rows).reset_index().merge(judged.rename("judged").reset_index(), on=IMAGE)
    rows["share"] = 100 * rows["pixels"] / rows.pop("judged")
    classes = rows.groupby(IMAGE)["class_id"].transform("nunique")
    rows["company"] = np.where(classes > 1, CLASSES_TOGETHER, CLASS_ALONE)
    return rows[[*key, "pixels", "share", *OUTCOMES, "company"]]


def outcomes(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """OUTCOMES summed over the objects of each run and value of ``by``, in percent of their pixels.

    Also ``objects``, how many there were. The first three sum to 100; ``extra`` may be any share.
    """
    groups = rows.groupby([*RUN, by], observed=True)
    sums = groups[["pixels", *OUTCOMES]].sum()
    shares = 100 * sums[list(OUTCOMES)].div(sums["pixels"], axis=0)
    shares["objects"] = groups.size()
    return shares.reset_index()


def size_groups(rows: pd.DataFrame, groups: int = 4) -> pd.Series:
    """Each object's group by ``share``: ordered names such as "2.1-5 %", about as many in each.

    The same object is in the same group for every run, since sizes are the truth's.
    """
    once = rows.drop_duplicates(["image", "class_id"])["share"]
    inner = np.quantile(once, np.linspace(0, 1, groups + 1)[1:-1]).round(1)
    bounds = [np.floor(10 * once.min()) / 10, *inner, np.ceil(10 * once.max()) / 10]
    edges = np.unique(bounds)
    if len(edges) < 2:
        edges = np.array([edges[0], edges[0] + 0.1])
    names = [f"{low:g}-{high:g} %" for low, high in pairwise(edges)]
    return pd.Series(pd.cut(rows["share"], edges, labels=names, include_lowest=True))
