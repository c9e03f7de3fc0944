"""Keep Snakemake and DVC agreeing about one experiment; the Snakefile is the source of both.

check    fails where dvc.yaml is not what the Snakefile and params.yaml say
write    writes dvc.yaml
record   tells DVC what Snakemake made: dvc.lock and the cache (every Snakemake run ends with it)
adopt    tells Snakemake what DVC holds to be good; for after dvc repro, exp, checkout or pull
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import yaml
from jobs import GraphError, InexpressibleError, Job, load_jobs

from recam.io.atomic import write_text

DVC_YAML = Path("dvc.yaml")
PLOTS = Path("workflow/plots.yaml")
HEADER = "# Written from the Snakefile by `make dvc.yaml`: change the Snakefile, not this file.\n"
# Outputs by their names in the Snakefile: small texts that Git keeps; DVC's cache keeps all others.
KEPT_BY_GIT = ("metrics", "plots")
# Links to originals that are the user's: DVC must not copy them. `cache: false` is not enough for
# that, since DVC keeps all outputs with its record of the run, unless they persist.
LINKED = "linked"
# The stage that DVC runs first when numbers or the graph changed: it refuses wrong numbers at once,
# and a dvc.yaml that is stale.
GUARD = {"cmd": "python workflow/engines.py check", "deps": ["Snakefile", "workflow", "src"]}
STALE = "dvc.yaml is not what the Snakefile and params.yaml say; run `make dvc.yaml`, then again"

# What mends what DVC complains of, where DVC does not say it.
MENDED_BY = {
    "is not a git repository": "run `git init`",
    "not inside of a DVC repository": "run `git checkout .dvc`, or `dvc init` for a new beginning",
    "merge conflict": "choose a side: `git checkout --ours dvc.lock`, or `--theirs`",
    "acquire lock": "wait for the other dvc, or end it",
}

Status = dict[str, list[Any]]  # stage -> what of it changed, as `dvc status --json` tells


class EngineError(Exception):
    """Why an engine could not do what it was asked, in one sentence."""


def rendered(jobs: list[Job], config: dict[str, Any]) -> str:
    """The text of dvc.yaml. Raises InexpressibleError, naming the rule and what to do."""
    stages = {"check_graph": GUARD | {"params": list(config)}}
    stages |= {job.name: _stage(job, config) for job in jobs}
    document = {"stages": stages, "plots": yaml.safe_load(PLOTS.read_text(encoding="utf-8"))}
    return HEADER + yaml.dump(document, Dumper=_Plain, sort_keys=False, width=10_000)


def _stage(job: Job, config: dict[str, Any]) -> dict[str, Any]:
    for name, value in job.params.items():
        section, _, within = name.partition(".")
        numbers = config.get(section, {})
        if (numbers.get(within) if within else numbers) != value or section not in config:
            raise InexpressibleError(
                f"rule {job.rule}: expected params named after sections of params.yaml and equal to"
                f" them, got {name or value}; write {name or 'NAME'}=section('NAME')"
            )
    stage: dict[str, Any] = {"cmd": job.command, "deps": job.inputs, "params": list(job.params)}
    stage["outs"] = []
    for name, path in job.outputs:
        kind = "metrics" if name == "metrics" else "outs"
        how = {"cache": False} if name in (*KEPT_BY_GIT, LINKED) else {}
        how |= {"persist": True} if name == LINKED else {}
        stage.setdefault(kind, []).append({path: how} if how else path)
    return {key: value for key, value in stage.items() if value}


class _Plain(yaml.SafeDumper):
    """Writes every list out: no anchors, which only a machine likes."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def is_stale(text: str) -> bool:
    """Whether dvc.yaml differs from what it should be."""
    return not DVC_YAML.is_file() or DVC_YAML.read_text(encoding="utf-8") != text


def record() -> str:
    """Commit to DVC the steps that Snakemake made, and no others. Returns a sentence about it.

    Only what Snakemake ran itself, with the code, numbers and inputs that lie here now, and whose
    outputs nobody altered since: a stale or foreign result is never called good.
    """
    jobs, config = load_jobs()
    text = rendered(jobs, config)
    rewritten = is_stale(text)
    if rewritten:
        write_text(DVC_YAML, text)
    changed = dvc_status()
    made = {"check_graph"} | {job.name for job in jobs if job.made}
    steps = [stage for stage in changed if stage in made]
    left = sorted(set(changed) - made)
    if steps:
        # DVC reads and writes its whole lock for every stage that is named. Where none is it does
        # so once, and looks at all of them: less work where most have changed and all may be kept.
        is_all = not left and 2 * len(steps) > len(jobs)
        _dvc("commit", "--force", "--quiet", *([] if is_all else steps))
    said = ["dvc.yaml written anew"] if rewritten else []
    said.append(f"steps recorded in dvc.lock: {len(set(steps) - {'check_graph'})}")
    said += [f"not up to date: {_listed(left)}"] if left else []
    return f"DVC: {'; '.join(said)}."


def adopt() -> str:
    """Make Snakemake see as up to date what DVC holds to be so. Returns a sentence about it.

    A step is adopted with all that it stands on; what follows a stale step will be run anyway.
    Code that changed is touched, since Snakemake looks only at inputs newer than the results.
    """
    jobs, config = load_jobs()
    if is_stale(rendered(jobs, config)):
        raise EngineError(STALE)
    changed = dvc_status()
    made = {path for job in jobs for _, path in job.outputs}
    for path in _changed_inputs(changed):
        if path not in made:
            os.utime(path)
    stale = _with_followers(jobs, changed)
    good = [job.outputs[0][1] for job in jobs if job.name not in stale]
    if good:
        touch = ["--cores", "1", "--touch", "--no-hooks", "--forcerun", *good]
        _snakemake(*touch, "--", *good)
    said = [f"steps adopted from DVC: {len(good)} of {len(jobs)}"]
    said += (
        [f"to be run: {_listed(stale)} (`dvc status` tells why; `dvc pull` brings what was shared)"]
        if stale
        else []
    )
    return f"Snakemake: {'; '.join(said)}."


def dvc_status() -> Status:
    """Every stage of which DVC holds that it is not up to date, and why."""
    return json.loads(_dvc("status", "--json"))


def _changed_inputs(changed: Status) -> list[str]:
    """Inputs, of stages that ran before, whose content is another now."""
    return [
        path
        for reasons in changed.values()
        for reason in reasons
        if isinstance(reason, dict)
        for path, how in cast(dict[str, Any], reason).get("changed deps", {}).items()
        if how == "modified"
    ]


def _with_followers(jobs: list[Job], changed: Iterable[str]) -> list[str]:
    """The jobs among the changed stages, and all that use what they make, in the graph's order."""
    stale = set(changed)
    outputs = {path for job in jobs if job.name in stale for _, path in job.outputs}
    while more := [j for j in jobs if j.name not in stale and not outputs.isdisjoint(j.inputs)]:
        stale |= {job.name for job in more}
        outputs |= {path for job in more for _, path in job.outputs}
    return [job.name for job in jobs if job.name in stale]


def _listed(names: list[str]) -> str:
    return (
        ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    )


def _dvc(*arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        lines = [line.strip() for line in run.stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        sentence = [*errors[-1:], *lines[:1], "it did not say why"][0].rstrip(".")
        mends = [f"; {mend}" for sign, mend in MENDED_BY.items() if sign in sentence][:1]
        raise EngineError("".join([f"`dvc {arguments[0]}` failed: {sentence}", *mends]))
    return run.stdout


def _snakemake(*arguments: str) -> None:
    command = [sys.executable, "-m", "snakemake", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot be locked" in run.stdout + run.stderr:
        raise EngineError(
            "Snakemake is at work here, or was killed and left its lock; wait for it, or run"
            " `snakemake --unlock`, then again"
        )
    if run.returncode:
        raise EngineError(f"snakemake could not touch the results: {run.stderr.strip()[-300:]}")


def main(verb: str) -> str:
    """Do what the verb says and tell of it."""
    if verb == "record":
        return record()
    if verb == "adopt":
        return adopt()
    text = rendered(*load_jobs())
    if verb == "write":
        write_text(DVC_YAML, text)
        return "dvc.yaml written."
    if is_stale(text):
        raise EngineError(STALE)
    return "dvc.yaml is what the Snakefile says."


if __name__ == "__main__":
    if sys.argv[1:] not in [["check"], ["write"], ["record"], ["adopt"]]:
        sys.exit(__doc__)
    try:
        print(main(sys.argv[1]))
    except (EngineError, GraphError, InexpressibleError) as error:
        after = "; mend it, then `make record`" if sys.argv[1] == "record" else ""
        sys.exit(f"DVC: not recorded: {error}{after}" if after else f"{sys.argv[1]}: {error}")
