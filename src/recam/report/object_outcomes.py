"""Outcomes of objects, image by image: found, taken for another object, missed, overshot.

Everything is derived from one table, *counts*: for every image the number of pixels of each pair of
true and predicted id (columns random_seed, method, stage, image, truth, prediction, pixels; ids as
in masks, absent pairs left out). An object is the union of a class's pixels in one image.
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
ALONE, WITH_OTHERS = "one class", "several classes"  # classes in the image's ground truth


def image_mious(counts: pd.DataFrame) -> pd.DataFrame:
    """MIoU of each image in percent, over the ids in its ground truth or prediction.

    Columns: IMAGE and miou.
    """
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


def object_outcomes(counts: pd.DataFrame) -> pd.DataFrame:
    """A row for each object: columns IMAGE, class_id, pixels, share, OUTCOMES and alone.

    ``pixels`` is the object's area in the ground truth, ``share`` that area in percent of the
    image's pixels that are not ignored. Of the object's pixels, ``found`` have its class, ``other``
    another object class, and ``missed`` background; ``extra`` are the image's pixels outside the
    object that have its class. False positives of a class that is absent from the image belong to
    no object and are not counted. ``alone`` is ALONE if the image's ground truth has one class,
    else WITH_OTHERS.
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
    rows["alone"] = np.where(classes > 1, WITH_OTHERS, ALONE)
    return rows[[*key, "pixels", "share", *OUTCOMES, "alone"]]


def outcome_shares(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """OUTCOMES summed over the objects of each run and value of ``by``, in percent of their pixels.

    ``objects`` is the number of objects. The first three outcomes sum to 100; ``extra`` may exceed
    100.
    """
    groups = rows.groupby([*RUN, by], observed=True)
    sums = groups[["pixels", *OUTCOMES]].sum()
    shares = 100 * sums[list(OUTCOMES)].div(sums["pixels"], axis=0)
    shares["objects"] = groups.size()
    return shares.reset_index()


def size_groups(rows: pd.DataFrame, groups: int = 4) -> pd.Series:
    """Each object's quantile group by ``share``, as ordered categories such as "2.1-5 %".

    An object is in the same group for every run, since ``share`` is measured on the ground truth.
    """
    once = rows.drop_duplicates(["image", "class_id"])["share"]
    inner = np.quantile(once, np.linspace(0, 1, groups + 1)[1:-1]).round(1)
    bounds = [np.floor(10 * once.min()) / 10, *inner, np.ceil(10 * once.max()) / 10]
    edges = np.unique(bounds)
    if len(edges) < 2:
        edges = np.array([edges[0], edges[0] + 0.1])
    names = [f"{low:g}-{high:g} %" for low, high in pairwise(edges)]
    return pd.Series(pd.cut(rows["share"], edges, labels=names, include_lowest=True))
