"""What a check of a data set found: tables, and words that a person reads before training."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from recam.core.labels import BACKGROUND, IGNORE, mask_id
from recam.io.atomic import write_text

NAMES_PER_KIND = 10  # the rest is in faults.csv
PAIRS = 10
ALL_CLASSES = 25  # more than these are not all listed
ENDS = 10  # but the most frequent and the rarest ones

LabelsOfSplits = Mapping[str, Bool[np.ndarray, "_ K"]]
PixelsOfSplits = Mapping[str, Int[np.ndarray, "256"]]  # pixels of each mask id


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A finding at one file. Findings of a kind have the same words in ``fault``."""

    file: str  # relative to the data set's folder
    fault: str
    detail: str = ""  # what is particular to this one
    wrong: bool  # it stops the run; otherwise it is odd

    def __str__(self) -> str:
        return f"{self.file}: {self.fault}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a data set holds and what is wrong with it.

    ``splits`` has a row a split: images, labelled, with_mask, and background (share of the pixels
    that are not ignored) and ignored (share of all pixels), empty without masks. ``classes`` has a
    row a class: images_<split>, and pixels_<split> as background. ``cooccurrence`` counts the
    images of all splits that have both classes; its diagonal those that have the class.
    """

    faults: tuple[Fault, ...]
    splits: pd.DataFrame
    classes: pd.DataFrame
    cooccurrence: pd.DataFrame
    sizes: Mapping[str, tuple[int, int]]  # smallest, median, largest by area: width and height
    modes: Mapping[str, int]  # images of each mode that Pillow knows

    @property
    def wrong(self) -> tuple[Fault, ...]:
        """The faults that stop a run."""
        return tuple(fault for fault in self.faults if fault.wrong)

    @property
    def odd(self) -> tuple[Fault, ...]:
        """The others."""
        return tuple(fault for fault in self.faults if not fault.wrong)

    def verdict(self) -> str:
        """One line: whether training can start."""
        wrong, odd = self.wrong, self.odd
        stops = "stops" if len(wrong) == 1 else "stop"
        first = (
            f"{_count(wrong, 'fault', 'faults')} that {stops} the run"
            if wrong
            else "Nothing is wrong"
        )
        return f"{first}; {_count(odd, 'oddity', 'oddities')}." if odd else f"{first}."

    def words(self) -> str:
        """The whole report in Markdown that reads well as plain text, the verdict first."""
        parts = [
            self.verdict(),
            _split_words(self.splits),
            _image_words(self.sizes, self.modes),
            _class_words(self.classes, self.cooccurrence, tuple(self.splits.index)),
            _pair_words(self.cooccurrence),
            _fault_words("What stops the run", self.wrong),
            _fault_words("What is odd", self.odd),
        ]
        return "\n".join(part.rstrip() + "\n" for part in parts if part)


def wrong(file: str, fault: str, detail: str = "") -> Fault:
    """A finding that stops a run."""
    return Fault(file=file, fault=fault, detail=detail, wrong=True)


def odd(file: str, fault: str, detail: str = "") -> Fault:
    """A finding that somebody should know of."""
    return Fault(file=file, fault=fault, detail=detail, wrong=False)


def write_report(report: Report, folder: Path) -> None:
    """Write report.md, classes.csv, cooccurrence.csv and faults.csv, each in one move."""
    faults = [
        ("wrong" if f.wrong else "odd", f.file, f.fault + (f": {f.detail}" if f.detail else ""))
        for f in (*report.wrong, *report.odd)
    ]
    listed = pd.DataFrame(faults, columns=["kind", "file", "fault"])
    write_text(folder / "faults.csv", listed.to_csv(index=False))
    write_text(folder / "cooccurrence.csv", report.cooccurrence.to_csv())
    write_text(folder / "classes.csv", report.classes.to_csv(float_format="%.6f"))
    write_text(folder / "report.md", report.words())


def split_table(
    images: Mapping[str, int],
    with_mask: Mapping[str, int],
    labels: LabelsOfSplits,
    pixels: PixelsOfSplits,
) -> pd.DataFrame:
    """The table ``Report.splits``."""
    table = pd.DataFrame(
        {
            "images": images,
            "labelled": {split: int(rows.any(axis=1).sum()) for split, rows in labels.items()},
            "with_mask": with_mask,
            "background": {split: _shares(counts)[BACKGROUND] for split, counts in pixels.items()},
            "ignored": {
                split: counts[IGNORE] / counts.sum() if counts.sum() else np.nan
                for split, counts in pixels.items()
            },
        }
    )
    return table.rename_axis("split").loc[list(images)]


def class_table(
    classes: tuple[str, ...], labels: LabelsOfSplits, pixels: PixelsOfSplits
) -> pd.DataFrame:
    """The table ``Report.classes``."""
    columns = {}
    for split in labels:
        columns[f"images_{split}"] = labels[split].sum(axis=0)
        columns[f"pixels_{split}"] = _shares(pixels[split])[mask_id(0) : mask_id(len(classes))]
    return pd.DataFrame(columns, index=pd.Index(classes, name="class"))


def cooccurrence_table(classes: tuple[str, ...], labels: Bool[np.ndarray, "N K"]) -> pd.DataFrame:
    """How many images have both classes; on the diagonal, how many have the class."""
    present = labels.astype(float)  # exact, and much faster than whole numbers
    counts = (present.T @ present).astype(np.int64)
    return pd.DataFrame(counts, index=pd.Index(classes, name="class"), columns=list(classes))


def _shares(counts: Int[np.ndarray, "256"]) -> np.ndarray:
    """Of the pixels that are not ignored; nan where there are none."""
    known = counts.sum() - counts[IGNORE]
    return counts / known if known else np.full(len(counts), np.nan)


def _count(faults: tuple[Fault, ...], one: str, many: str) -> str:
    kinds = len({fault.fault for fault in faults})
    words = f"{len(faults):,} {one if len(faults) == 1 else many}"
    return f"{words} of {kinds} kinds" if 1 < kinds < len(faults) else words


def _split_words(splits: pd.DataFrame) -> str:
    if splits.empty:
        return ""
    masks = bool(splits["with_mask"].any())
    heads = ["split", "images", "labelled", "with mask"]
    heads += ["background, % of pixels", "ignored, %"] if masks else []
    rows = []
    for split, images, labelled, with_mask, *shares in splits.itertuples():
        cells = [str(split), f"{images:,}", f"{labelled:,}", f"{with_mask:,}"]
        rows.append(cells + [_percent(share) for share in shares if masks])
    return _table(heads, rows)


def _image_words(sizes: Mapping[str, tuple[int, int]], modes: Mapping[str, int]) -> str:
    if not sizes:
        return ""
    shown = ", ".join(f"{name} {width} x {height}" for name, (width, height) in sizes.items())
    counts = ", ".join(f"{count:,} {mode}" for mode, count in modes.items())
    return f"Width x height: {shown}.\n\nModes: {counts}."


def _class_words(classes: pd.DataFrame, cooccurrence: pd.DataFrame, splits: tuple[str, ...]) -> str:
    """A table from the most frequent class to the rarest; of many classes, both its ends."""
    if not splits:
        return ""
    masked = [split for split in splits if not np.isnan(classes[f"pixels_{split}"]).all()]
    heads, cells = ["class"], [list(classes.index)]
    for split in splits:
        heads.append(f"images, {split}")
        cells.append([f"{count:,}" for count in classes[f"images_{split}"]])
        if split in masked:
            heads.append("% of pixels")
            cells.append([_percent(share) for share in classes[f"pixels_{split}"]])
    order = np.argsort(-np.diag(cooccurrence), kind="stable")
    rows = [[column[i] for column in cells] for i in order]
    if len(rows) > ALL_CLASSES:
        left = [f"({len(rows) - 2 * ENDS} more: classes.csv)", *[""] * (len(heads) - 1)]
        rows = [*rows[:ENDS], left, *rows[-ENDS:]]
    note = "\nPixels that the masks ignore do not count.\n" if masked else ""
    return "## Classes, the most frequent first\n\n" + _table(heads, rows) + note


def _pair_words(cooccurrence: pd.DataFrame) -> str:
    """The pairs in most images, told from the rarer class of each."""
    counts, names = cooccurrence.to_numpy(), list(cooccurrence.columns)
    pairs = [(counts[i, j], i, j) for i, j in combinations(range(len(names)), 2) if counts[i, j]]
    if not pairs:
        return ""
    rows = []
    for both, i, j in sorted(pairs, key=lambda pair: -pair[0])[:PAIRS]:
        rarer, other = (i, j) if counts[i, i] <= counts[j, j] else (j, i)
        share = f"{100 * both / counts[rarer, rarer]:.0f} %"
        rows.append([names[rarer], names[other], f"{both:,}", share])
    heads = ["class", "comes with", "images", "of its images"]
    return "## Classes that come together most often\n\n" + _table(heads, rows, left=2)


def _fault_words(title: str, faults: tuple[Fault, ...]) -> str:
    if not faults:
        return ""
    lines = [f"## {title}\n"]
    kinds: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        kinds[fault.fault].append(fault)
    for kind, found in kinds.items():
        lines.append(f"{kind[0].upper()}{kind[1:]} ({len(found):,}):\n")
        for fault in found[:NAMES_PER_KIND]:
            lines.append(f"- {fault.file}" + (f": {fault.detail}" if fault.detail else ""))
        if len(found) > NAMES_PER_KIND:
            lines.append(f"- and {len(found) - NAMES_PER_KIND:,} more (faults.csv)")
        lines.append("")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.2f}"


def _table(heads: list[str], rows: Iterable[list[str]], *, left: int = 1) -> str:
    """A Markdown table in straight columns: the first ones begin, the others end in line."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in (heads, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * w if i < left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    lines = [
        [cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(padded)]
        for padded in (zip(row, widths, strict=True) for row in cells)
    ]
    lines.insert(1, rule)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
