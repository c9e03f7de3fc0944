"""The outputs of a step before it ran: they come back if it fails.

Snakemake deletes the outputs of a step before it runs the step, and those of a failed step after
it. At the start of a run each output that will be made anew gets a second name (a hard link, so no
byte is copied) in `.snakemake/previous`, with Snakemake's record of how it was made. Where the
disk has no hard links, or is another one than that of `.snakemake`, nothing is kept.
"""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

PREVIOUS = Path(".snakemake/previous")


def keep(workflow: Any) -> dict[str, Any]:
    """Keep the outputs of all steps that will run; return Snakemake's records by output."""
    shutil.rmtree(PREVIOUS, ignore_errors=True)
    outputs = {str(f) for job in workflow.dag.needrun_jobs() for f in job.output}
    there = [output for output in outputs if os.path.lexists(output)]
    read = workflow.persistence._read_record
    return {name: deepcopy(read(name)) for name in there if _linked(Path(name))}


def bring_back(workflow: Any, records: dict[str, Any]) -> list[str]:
    """Restore kept outputs of steps that failed: those of which no output is there.

    Returns the outputs. A record that says how an output was made is restored with it, so that
    Snakemake does not take the old output for one of the new parameters.
    """
    restored = [name for job in _failed(workflow) for name in map(str, job.output)]
    restored = [name for name in restored if name in records]
    for name in restored:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        (PREVIOUS / name).rename(name)
        if records[name] is None:
            workflow.persistence._delete_record(name)
        else:
            workflow.persistence._write_record(name, records[name])
    return sorted(restored)


def forget() -> None:
    """Delete what was kept."""
    shutil.rmtree(PREVIOUS, ignore_errors=True)


def _failed(workflow: Any) -> Iterable[Any]:
    jobs = workflow.dag.needrun_jobs(exclude_finished=False)
    return [job for job in jobs if not any(os.path.lexists(str(file)) for file in job.output)]


def _linked(output: Path) -> bool:
    """Give a file, or every file of a folder, a second name; false where the disk cannot."""
    target = PREVIOUS / output
    with suppress(OSError, shutil.Error):
        target.parent.mkdir(parents=True, exist_ok=True)
        if output.is_dir() and not output.is_symlink():
            shutil.copytree(output, target, symlinks=True, copy_function=os.link)
        else:
            os.link(output, target, follow_symlinks=False)
        return True
    return False
