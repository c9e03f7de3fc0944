"""Cost and provenance of results: timings, code version, package versions, checksums, numbers."""

import importlib.metadata
import math
import os
import platform
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd
import yaml

from recam.core.errors import UserError
from recam.io.archives import read_content
from recam.io.atomic import sha256

STEPS = (
    *("train_cam", "train_recam", "make_clusters", "make_cams", "train_irn"),
    *("train_saliency", "make_pseudo", "train_seg", "evaluate"),
)
PACKAGES = (
    *("torch", "torchvision", "timm", "segmentation-models-pytorch", "numpy", "scipy", "pandas"),
    *("scikit-image", "pillow", "matplotlib", "snakemake", "dvc"),
)
PLACEHOLDER = 1.0  # seconds; a shorter train_irn wrote a placeholder and trained nothing
SHORT = 16  # characters shown of the checksum of a list of checksums
STYLE = (
    "body{font:14px/1.5 sans-serif;margin:1rem;color:#222}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}"
    "td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}"
    "td{font-family:monospace;white-space:pre-wrap;word-break:break-all}"
    "pre{overflow-x:auto;background:#f5f5f5;padding:.8rem}"
)


def timings(logs: Path, *, random_seeds: Sequence[int], methods: Sequence[str]) -> pd.DataFrame:
    """Time (s) and peak memory (MiB) of each step, from Snakemake's benchmark files.

    Columns: step, method, random_seed, seconds, max_rss. Steps without a benchmark are left out.
    """
    rows = [
        (step, method, seed, *_benchmark(file))
        for step in STEPS
        for seed in random_seeds
        for method in methods
        if (file := logs / f"seed{seed}/{method}/{step}.tsv").is_file()
    ]
    columns = ["step", "method", "random_seed", "seconds", "max_rss"]
    table = pd.DataFrame(rows, columns=columns).dropna()
    return pd.DataFrame(table[table["seconds"] > PLACEHOLDER])


def provenance(
    params: Mapping[str, object], *, code: Mapping[str, str], data: Path, results: Path
) -> str:
    """An HTML page of code version, package versions, checksums and parameters.

    ``code`` names the commit and uncommitted changes. ``data`` and ``results`` lie in one folder.
    """
    sections = origins(code=code, data=data, results=results)
    page = "".join(f"<h2>{title}</h2>{_table(rows)}" for title, rows in sections.items())
    page += f"<h2>Parameters (params.yaml)</h2><pre>{escape(parameters_text(params))}</pre>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Provenance</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body>{page}</body></html>\n"
    )


def origins(*, code: Mapping[str, str], data: Path, results: Path) -> dict[str, Mapping[str, str]]:
    """Tables of names and values by title: code, package versions, and checksums of files."""
    return {
        "Code": code,
        "Versions": _versions(),
        "Data and results": _checksums(data, results),
    }


def parameters_text(params: Mapping[str, object]) -> str:
    """The parameters as YAML, a line for each section where it fits."""
    return yaml.safe_dump(dict(params), sort_keys=False, default_flow_style=None, width=100)


def _benchmark(file: Path) -> tuple[float, float]:
    lines = read_content(file).decode("utf-8", errors="replace").splitlines()
    row = dict(zip(*(line.split("\t") for line in lines[:2]), strict=False)) if lines[1:] else {}
    found = [row.get(name, "") for name in ("s", "max_rss")]
    seconds, memory = ("nan" if text == "-" else text for text in found)  # "-": not measured
    try:
        values = float(seconds), float(memory)
    except ValueError:
        values = (-1.0, -1.0)
    if any(value < 0 or math.isinf(value) for value in values):
        raise UserError(
            f"{file}: expected seconds and max_rss as numbers, got {', '.join(found):.40}; delete "
            "it: the table of times then leaves this step out"
        )
    return values


def _versions() -> dict[str, str]:
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "Python": platform.python_version(),
    }
    return machine | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # of an extra that the report does not need
        return "not installed"


def _checksums(data: Path, results: Path) -> dict[str, str]:
    files = [*sorted(data.glob("*.sha256")), data / "labels.csv"]
    lists = sorted(results.glob("seed*/*/*.sha256"))
    root = data.parent
    shown = {str(file.relative_to(root)): sha256(file) for file in files if file.is_file()}
    return shown | {
        f"{file.relative_to(root)} (SHA-256 of the list)": sha256(file)[:SHORT] for file in lists
    }


def _table(rows: Mapping[str, str]) -> str:
    lines = [f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items()]
    return f"<table>{''.join(lines)}</table>"
