"""Snakemake's records of how outputs were made, checked before Snakemake reads them."""

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path

RECORDS = Path(".snakemake/metadata")
SPLIT = "@"  # begins the names of folders that hold the first parts of a long name


def damaged_records() -> Iterator[str]:
    """An error for each record that is not a JSON object.

    Without its record Snakemake would take an output for one of the present parameters, so the
    output has to go too.
    """
    for file in sorted(path for path in RECORDS.rglob("*") if path.is_file()):
        try:
            is_whole = isinstance(json.loads(file.read_bytes()), dict)
        except ValueError:  # no JSON, or no text
            is_whole = False
        if not is_whole:
            yield (
                f"{file}: Snakemake's record of {_output(file)} is damaged; delete both, so that "
                "its step runs again"
            )


def _output(record: Path) -> str:
    encoded = "".join(record.relative_to(RECORDS).parts).replace(SPLIT, "")
    try:
        return base64.urlsafe_b64decode(encoded).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "an unknown output"
