"""The choice of images: gains, losses, failures and every class, in turn."""
# Pandas' types are too wide.
# pyright: reportArgumentType=false, reportCallIssue=false

from collections.abc import Iterable, Sequence
from itertools import chain, islice, zip_longest

import numpy as np
import pandas as pd

from recam.data.layout import LABELS, read_labels
from recam.report.explorer.sources import STAGES, Experiment
from recam.report.methods import before_and_after
from recam.report.object_outcomes import image_mious
from recam.report.summary import Run, evaluated, gathered_table


def pair_of(methods: Sequence[str]) -> tuple[str, ...]:
    """The methods to begin with: CAM and ReCAM, or the first two; one if there is one."""
    return before_and_after(methods) or tuple(methods[:2])


def chosen_ids(experiment: Experiment, *, count: int) -> list[str]:
    """At most ``count`` ids: largest gains and losses, lowest mIoU, and each class, in turn.

    Gain, loss and mIoU are those of the latest stage that every shown method was evaluated at, at
    the thresholds of the runs. Without an evaluation all images are examples of classes.
    """
    ids = experiment.ids()
    ranked = _ranked(_mious(experiment).reindex(ids), pair_of(experiment.methods))
    return in_turn([*ranked, [*_by_class(experiment, ids), *ids]], count=count)


def in_turn(lists: Iterable[Sequence[str]], *, count: int) -> list[str]:
    """The first of every list, the second of every list and so on, without repetition."""
    mixed = chain.from_iterable(zip_longest(*lists))
    return list(islice(dict.fromkeys(item for item in mixed if item is not None), count))


def _ranked(mious: pd.DataFrame, pair: tuple[str, ...]) -> list[list[str]]:
    """Ids by descending gain, by ascending gain and by ascending mIoU of the last method."""
    known = mious.dropna()
    if not len(known):
        return []
    failures = list(known[pair[-1]].sort_values(kind="stable").index)
    if len(pair) == 1:
        return [failures]
    gain = (known[pair[1]] - known[pair[0]]).sort_values(kind="stable")
    return [list(gain.index[::-1]), list(gain.index), failures]


def _mious(experiment: Experiment) -> pd.DataFrame:
    """MIoU in percent by image id and method; empty if a method of the pair has no evaluation."""
    pair = pair_of(experiment.methods)
    for stage in reversed(experiment.sources):
        sources = [s for m, s in experiment.sources[stage].items() if m in pair]
        runs = evaluated([Run(folder=s.folder.parent) for s in sources])
        if len(runs) == len(pair):
            counts = gathered_table(runs, "counts.csv")
            counts = pd.DataFrame(counts[counts["stage"] == STAGES[stage]])
            if len(counts):
                table = image_mious(counts)
                return table.pivot_table(index="image", columns="method", values="miou")
    return pd.DataFrame(columns=list(pair), dtype=np.float64)


def _by_class(experiment: Experiment, ids: list[str]) -> list[str]:
    """Ids of images with the first class, the second and so on, then a second one of each."""
    labels = read_labels(experiment.data / LABELS, experiment.classes)
    labels = labels.reindex(ids, fill_value=False)
    columns = [list(labels.index[labels[name]]) for name in experiment.classes]
    return in_turn(columns, count=len(ids))
