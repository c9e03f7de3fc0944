"""Results of a data set check: faults and statistics, as tables and as a Markdown report."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from recam.core.labels import BACKGROUND, IGNORE, mask_id
from recam.io.atomic import write_text

NAMES_PER_KIND = 10  # files listed in report.md for each kind of fault; faults.csv lists all
PAIRS = 10  # pairs of classes listed in report.md
ALL_CLASSES = 25  # up to this number report.md lists every class
ENDS = 10  # beyond it, this many of the most frequent and of the rarest classes

LabelsOfSplits = Mapping[str, Bool[np.ndarray, "_ K"]]
PixelsOfSplits = Mapping[str, Int[np.ndarray, "256"]]  # pixel count of each mask id


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error, which stops the run, or a warning about one file.

    Faults of the same kind have the same text in ``fault``.
    """

    severity: Literal["error", "warning"]
    file: str  # relative to the data set's folder
    fault: str
    detail: str = ""  # specific to this fault

    @staticmethod
    def error(file: str, fault: str, detail: str = "") -> "Fault":
        """A fault that stops the run."""
        return Fault(severity="error", file=file, fault=fault, detail=detail)

    @staticmethod
    def warning(file: str, fault: str, detail: str = "") -> "Fault":
        """A fault that is reported and does not stop the run."""
        return Fault(severity="warning", file=file, fault=fault, detail=detail)

    def __str__(self) -> str:
        return f"{self.file}: {self.fault}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Faults and statistics of a data set.

    ``splits`` has one row per split with the columns images, labelled, with_mask (numbers of
    images), background (fraction of the pixels that are not ignored) and ignored (fraction of all
    pixels); both fractions are NaN without masks. ``classes`` has one row per class and for each
    split the columns images_<split> (number of images) and pixels_<split> (fraction of the pixels
    that are not ignored). ``cooccurrence`` counts, over the images of all splits, the images with
    both classes; its diagonal counts the images with the class.
    """

    faults: tuple[Fault, ...]
    splits: pd.DataFrame
    classes: pd.DataFrame
    cooccurrence: pd.DataFrame
    sizes: Mapping[str, tuple[int, int]]  # (width, height) of the smallest, median, largest area
    modes: Mapping[str, int]  # number of images of each Pillow mode

    @property
    def errors(self) -> tuple[Fault, ...]:
        """The faults that stop the run."""
        return tuple(fault for fault in self.faults if fault.severity == "error")

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """The faults that do not stop the run."""
        return tuple(fault for fault in self.faults if fault.severity == "warning")

    def verdict(self) -> str:
        """The numbers of errors and of warnings, as one line."""
        words = f"{_count(self.errors, 'error')}, {_count(self.warnings, 'warning')}."
        return words[0].upper() + words[1:]

    def warning_lines(self) -> list[str]:
        """A line for each kind of warning: the kind, its first file, and the number of others."""
        lines: list[str] = []
        for kind, found in _by_kind(self.warnings).items():
            first = found[0].file + (f" ({found[0].detail})" if found[0].detail else "")
            others = f", and {len(found) - 1:,} more" if len(found) > 1 else ""
            lines.append(f"{kind}: {first}{others}")
        return lines

    def markdown(self) -> str:
        """The report as Markdown that is also readable as plain text; the verdict comes first."""
        parts = [
            self.verdict(),
            _split_words(self.splits),
            _image_words(self.sizes, self.modes),
            _class_words(self.classes, self.cooccurrence, tuple(self.splits.index)),
            _pair_words(self.cooccurrence),
            _fault_words("Errors (they stop the run)", self.errors),
            _fault_words("Warnings", self.warnings),
        ]
        return "\n".join(part.rstrip() + "\n" for part in parts if part)


def write_report(report: Report, folder: Path) -> None:
    """Write report.md, classes.csv, cooccurrence.csv and faults.csv, each atomically."""
    faults = [
        (f.severity, f.file, f.fault + (f": {f.detail}" if f.detail else ""))
        for f in (*report.errors, *report.warnings)
    ]
    listed = pd.DataFrame(faults, columns=["kind", "file", "fault"])
    write_text(folder / "faults.csv", listed.to_csv(index=False))
    write_text(folder / "cooccurrence.csv", report.cooccurrence.to_csv())
    write_text(folder / "classes.csv", report.classes.to_csv(float_format="%.6f"))
    write_text(folder / "report.md", report.markdown())


def split_table(
    images: Mapping[str, int],
    with_mask: Mapping[str, int],
    labels: LabelsOfSplits,
    pixels: PixelsOfSplits,
) -> pd.DataFrame:
    """``Report.splits`` from the images, masks, labels and pixels of each split."""
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
    """``Report.classes`` from the labels and pixels of each split."""
    columns = {}
    for split in labels:
        columns[f"images_{split}"] = labels[split].sum(axis=0)
        columns[f"pixels_{split}"] = _shares(pixels[split])[mask_id(0) : mask_id(len(classes))]
    return pd.DataFrame(columns, index=pd.Index(classes, name="class"))


def cooccurrence_table(classes: tuple[str, ...], labels: Bool[np.ndarray, "N K"]) -> pd.DataFrame:
    """``Report.cooccurrence``: number of images with both classes, from multi-hot labels."""
    present = labels.astype(float)  # exact, and much faster than a product of integers
    counts = (present.T @ present).astype(np.int64)
    return pd.DataFrame(counts, index=pd.Index(classes, name="class"), columns=list(classes))


def _shares(counts: Int[np.ndarray, "256"]) -> np.ndarray:
    """Fractions of the pixels that are not ignored; NaN if there are none."""
    known = counts.sum() - counts[IGNORE]
    return counts / known if known else np.full(len(counts), np.nan)


def _count(faults: tuple[Fault, ...], noun: str) -> str:
    kinds = len({fault.fault for fault in faults})
    number = f"{len(faults):,}" if faults else "no"
    words = f"{number} {noun if len(faults) == 1 else noun + 's'}"
    return f"{words} of {kinds} kinds" if 1 < kinds < len(faults) else words


def _split_words(splits: pd.DataFrame) -> str:
    if splits.empty:
        return ""
    masks = bool(splits["with_mask"].any())
    heads = ["split", "images", "labelled", "with mask"]
    heads += ["background, %", "ignored, %"] if masks else []
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
    """A table of the classes by frequency, shortened in the middle if there are many."""
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
        left = [f"({len(rows) - 2 * ENDS} more in classes.csv)", *[""] * (len(heads) - 1)]
        rows = [*rows[:ENDS], left, *rows[-ENDS:]]
    note = "\nPercentages exclude ignored pixels.\n" if masked else ""
    return "## Classes by frequency\n\n" + _table(heads, rows) + note


def _pair_words(cooccurrence: pd.DataFrame) -> str:
    """The most frequent pairs, each with its share of the rarer class's images."""
    counts, names = cooccurrence.to_numpy(), list(cooccurrence.columns)
    pairs = [(counts[i, j], i, j) for i, j in combinations(range(len(names)), 2) if counts[i, j]]
    if not pairs:
        return ""
    rows = []
    for both, i, j in sorted(pairs, key=lambda pair: -pair[0])[:PAIRS]:
        rarer, other = (i, j) if counts[i, i] <= counts[j, j] else (j, i)
        share = f"{100 * both / counts[rarer, rarer]:.0f}"
        rows.append([names[rarer], names[other], f"{both:,}", share])
    heads = ["class", "occurs with", "images", "% of its images"]
    return "## Most frequent class pairs\n\n" + _table(heads, rows, left=2)


def _fault_words(title: str, faults: tuple[Fault, ...]) -> str:
    if not faults:
        return ""
    lines = [f"## {title}\n"]
    for kind, found in _by_kind(faults).items():
        lines.append(f"{kind[0].upper()}{kind[1:]} ({len(found):,}):\n")
        for fault in found[:NAMES_PER_KIND]:
            lines.append(f"- {fault.file}" + (f": {fault.detail}" if fault.detail else ""))
        if len(found) > NAMES_PER_KIND:
            lines.append(f"- and {len(found) - NAMES_PER_KIND:,} more in faults.csv")
        lines.append("")
    return "\n".join(lines)


def _by_kind(faults: tuple[Fault, ...]) -> dict[str, list[Fault]]:
    kinds: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        kinds[fault.fault].append(fault)
    return kinds


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.2f}"


def _table(heads: list[str], rows: Iterable[list[str]], *, left: int = 1) -> str:
    """A Markdown table whose first ``left`` columns are left-aligned, the others right-aligned."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in (heads, *rows)]
    alignment = ["left"] * left + ["right"] * (len(heads) - left)
    table = pd.DataFrame(cells[1:], columns=cells[0])
    return table.to_markdown(index=False, disable_numparse=True, colalign=alignment) + "\n"
