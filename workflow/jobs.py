"""The present jobs of the Snakefile, from Snakemake's own graph.

Only this file, previous.py and stamps.py use Snakemake's private interface; pyproject.toml pins the
minor version that they were written for.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from types import SimpleNamespace
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.logging import logger
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)
from stamps import is_stamp, script_of

from recam.steps.without_effect import SPARED

FIELDS = Formatter().parse
ANY_SIZE = 10**15  # bytes; inputs are compared by content, however large they are
WITHIN = "__"  # make_pseudo__refiner, since Snakemake allows no name make_pseudo.refiner
UNSPOKEN = "seen"  # the state of a folder: Snakemake needs it, DVC computes it itself
SPOKEN = {"input", "output", "params", "wildcards", "log"}  # names allowed in a command line


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of one rule, its wildcards filled in."""

    rule: str
    wildcards: dict[str, str]
    command: str  # params stand in it as ${name}, as DVC writes them
    params: dict[str, Any]  # name, of a value within a section section.name -> value
    inputs: list[str]  # folders made by a job are left out: their checksum lists are inputs
    outputs: list[tuple[str, str]]  # name, path
    log: str
    made: bool  # run by Snakemake with the present code, parameters and inputs

    @property
    def script(self) -> str:
        """The script that it runs: that of the step for a shard."""
        return script_of(self.rule)

    @property
    def step(self) -> tuple[str, ...]:
        """The script and the wildcards that a step and its shards share."""
        return self.script, *(v for k, v in self.wildcards.items() if k != "shard")

    @property
    def is_shard(self) -> bool:
        """Whether the job makes a part of a step, and a stamp for the engines."""
        return "shard" in self.wildcards

    @property
    def name(self) -> str:
        """The rule, then the wildcards: evaluate-seed0-recam."""
        shown = [f"{k}{v}" if v.isdigit() else v for k, v in self.wildcards.items()]
        return "-".join([self.rule, *shown])


class GraphError(Exception):
    """Snakemake's message about an error in the Snakefile or the parameters."""


class InexpressibleError(Exception):
    """A rule that DVC could not run exactly as Snakemake does."""


def load_jobs() -> tuple[list[Job], dict[str, Any]]:
    """All jobs of the default target in order, and the effective parameters.

    Nothing is run, locked or written. Raises GraphError and InexpressibleError.
    """
    logger.setLevel(logging.ERROR)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        try:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(),
                snakefile=Path("Snakefile"),
            )
            graph = workflow.dag(DAGSettings(max_checksum_file_size=ANY_SIZE))
            return _jobs(getattr(graph.workflow_api, "_workflow"))  # noqa: B009 it is private
        except InexpressibleError:
            raise
        except Exception as error:
            raise GraphError(f"{error}") from None


def _jobs(workflow: Any) -> tuple[list[Job], dict[str, Any]]:
    workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
    workflow._build_dag()
    order = {rule.name: number for number, rule in enumerate(workflow.rules)}
    jobs = [job for job in workflow.dag.jobs if job.output]
    jobs.sort(key=lambda job: (order[job.rule.name], *job.wildcards_dict.values()))
    made = {str(file) for job in jobs for file in job.output}
    return [_job(workflow, job, made=made) for job in jobs], workflow.globals["config"]


def _job(workflow: Any, job: Any, *, made: set[str]) -> Job:
    params = {name or "": value for name, value in job.params._allitems() if name != UNSPOKEN}
    dotted: dict[str, Any] = {}
    for name, value in params.items():
        within = (
            {f"{name}.{key}": number for key, number in value.items()} if name in SPARED else {}
        )
        dotted |= within or {name.replace(WITHIN, "."): value}
    return Job(
        rule=job.rule.name,
        wildcards=dict(job.wildcards_dict),
        command=_command(job, params),
        params=dotted,
        inputs=[str(f) for f in job.input if not f.is_ancient or str(f) not in made],
        outputs=[
            (name or "", str(path))
            for name, value in job.output._allitems()
            for path in ([value] if isinstance(value, str) else value)
        ],
        log=str(job.log[0]),
        made=workflow.async_run(_made(workflow, job)),
    )


def _command(job: Any, params: dict[str, Any]) -> str:
    """The rule's shell line for this job, with its parameters left as ${name}."""
    rule = f"rule {job.rule.name}"
    if job.rule.shellcmd is None:
        raise InexpressibleError(f"{rule}: expected `shell:`, which DVC can run too; write it so")
    if not job.log:
        raise InexpressibleError(
            f"{rule}: expected `log:`, whose time tells a run from `--touch`, got none; add one"
        )
    spoken = {re.split(r"[.[]", field)[0] for _, field, _, _ in FIELDS(job.rule.shellcmd) if field}
    if spoken - SPOKEN:
        raise InexpressibleError(
            f"{rule}: its `shell:` names {', '.join(sorted(spoken - SPOKEN))}, which DVC does not"
            f" know; use {', '.join(sorted(SPOKEN))} only"
        )
    expressions = SimpleNamespace(**{name: _expression(name, params[name]) for name in params})
    return " ".join(job.format_wildcards(job.rule.shellcmd, params=expressions).split())


def _expression(name: str, value: Any) -> str:
    """A parameter as DVC writes it; of a section with a spared number, each of the others."""
    if name in SPARED:
        return " ".join(f"--{key} ${{{name}.{key}}}" for key in value)
    return f"${{{name.replace(WITHIN, '.')}}}"


async def _made(workflow: Any, job: Any) -> bool:
    """True if Snakemake ran this job in its present form on the present inputs.

    Stricter than Snakemake's own check: inputs are compared by content whatever their time, and
    outputs that were altered later or only touched do not count. After `--touch` the log is older
    than the recorded start of the run.
    """
    if workflow.dag.needrun(job):
        return False
    for file in (*job.output, *job.log):
        if not await file.exists():
            return False
    compared = [file for file in job.input if not is_stamp(str(file))]
    checksums = {str(file): await file.checksum(ANY_SIZE) for file in compared}
    known = {name: checksum for name, checksum in checksums.items() if checksum is not None}
    logged = [(await log.mtime()).local() for log in job.log]
    for output in job.output:
        record = workflow.persistence.metadata(output)
        if record is None or record.endtime != (await output.mtime()).local():
            return False
        recorded = {k: v for k, v in record.input_checksums.items() if not is_stamp(k)}
        if recorded != known or min(logged) < record.starttime:
            return False
    return True
