"""Keep Snakemake and DVC agreeing about one experiment; the Snakefile is the source of both.

check    fails if dvc.yaml does not match the Snakefile and params.yaml
write    writes dvc.yaml
record   records Snakemake's results in dvc.lock and the cache (every Snakemake run ends with it)
adopt    makes Snakemake accept DVC's results, after dvc repro, exp, checkout or pull
"""

import gc
import json
import os
import sys
from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # a copy uses its own library

from recam.runtime.loading import begin_loading, end_loading

begin_loading()  # the imports of Snakemake take seconds
gc.disable()  # `end_loading` starts it

from jobs import GraphError, InexpressibleError, Job, load_jobs  # noqa: E402
from run_engines import EngineError, dvc, snakemake  # noqa: E402
from stamps import OF_SHARDS  # noqa: E402

from recam.core.disk import disk_sentence  # noqa: E402
from recam.core.errors import UserError  # noqa: E402
from recam.io.atomic import write_text  # noqa: E402
from recam.io.receipts import altered  # noqa: E402
from recam.steps.code import code_file  # noqa: E402

end_loading()

DVC_YAML = Path("dvc.yaml")
PLOTS = Path("workflow/plots.yaml")
HEADER = "# Written from the Snakefile by `make dvc.yaml`: change the Snakefile, not this file.\n"
# Names of outputs in the Snakefile: Git keeps these small text files, DVC's cache all others.
KEPT_BY_GIT = ("metrics", "plots", "details")
# Links to the user's original files: DVC must not copy them. `cache: false` alone is not enough:
# the run cache stores every output that is not persistent.
LINKED = "linked"
# DVC runs this stage first after a change of parameters, graph or code. It fails on invalid
# parameters and on a stale dvc.yaml, and writes the hashes of each step's code.
GUARD = {"cmd": "python workflow/engines.py check", "deps": ["Snakefile", "workflow", "src"]}
TOUCH = ("--cores", "1", "--touch", "--no-hooks")
STALE = "dvc.yaml does not match the Snakefile and params.yaml; run `make dvc.yaml`, then again"

Status = dict[str, list[Any]]  # stage -> its changes, as in `dvc status --json`


class AlteredError(EngineError):
    """Results are not as their steps wrote them; the message says what to delete."""


def rendered(jobs: list[Job], config: dict[str, Any]) -> str:
    """The text of dvc.yaml. Raises InexpressibleError, which names the rule and the remedy."""
    code = {
        path: None
        for job in jobs
        for path in job.inputs
        if path == code_file(job.script).as_posix()
    }
    stages = {"check_graph": GUARD | {"params": list(config), "outs": list(code)}}
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
    """Writes every list in full, without anchors, so that dvc.yaml is easy to read."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def is_there() -> bool:
    """True if there is a dvc.yaml."""
    return DVC_YAML.is_file()


def is_stale(text: str) -> bool:
    """True if dvc.yaml is missing or differs from ``text``."""
    return not is_there() or DVC_YAML.read_text(encoding="utf-8") != text


def record() -> str:
    """Commit to DVC the steps that Snakemake ran, and no others. Returns a one-sentence summary.

    A step is committed only if Snakemake ran it with the present code, parameters and inputs, and
    its outputs are unchanged since: every file has the checksum that the step noted. Stale, altered
    and foreign results are never recorded, nor are those of later steps. Raises AlteredError after
    the rest is recorded.
    """
    jobs, config = load_jobs()
    text = rendered(jobs, config)
    rewritten = is_stale(text)
    if rewritten:
        write_text(DVC_YAML, text)
    made = {job.name: job for job in jobs if job.made}
    spared = {job.name for job in stamped(jobs, finished=made)}
    changed = dvc_status()
    damaged = _altered(made[stage] for stage in changed if stage in made)
    made = {"check_graph", *made, *spared} - set(_with_followers(jobs, damaged))
    steps = [stage for stage in changed if stage in made]
    left = sorted(set(changed) - made)
    if steps:
        # DVC reads and writes the whole lock once per named stage, but only once if none is named.
        # Committing all stages is faster if most have changed and none must be left out.
        is_all = not left and 2 * len(steps) > len(jobs)
        dvc("commit", "--force", "--quiet", *([] if is_all else steps))
    said = ["dvc.yaml rewritten"] if rewritten else []
    said.append(f"steps recorded in dvc.lock: {len(set(steps) - {'check_graph'})}")
    said += [f"not up to date: {_listed(left)}"] if left else []
    if damaged:
        raise AlteredError("; ".join([*damaged.values(), *said]))
    return f"DVC: {'; '.join(said)}."


def _altered(jobs: Iterable[Job]) -> dict[str, str]:
    """Jobs whose outputs are not as their steps wrote them, with a sentence each."""
    found: dict[str, str] = {}
    for job in jobs:
        outputs, code = [Path(path) for _, path in job.outputs], code_file(job.script)
        files = altered(Path(job.log).with_suffix(".sha256"), [*outputs, code])
        if files == [code]:
            found[job.name] = (
                f"{job.name} ran with code that was changed during the run; delete {outputs[0]} and"
                " run Snakemake again"
            )
        elif files:
            mine = next(path for path in outputs if files[0].is_relative_to(path))
            found[job.name] = (
                f"{files[0]} is not as {job.name} wrote it ({len(files)} of its files); delete"
                f" {mine} and run Snakemake again"
            )
    return found


def write() -> str:
    """Write dvc.yaml. Returns a one-sentence summary.

    Steps that are up to date stay so with another number of shards.
    """
    jobs, config = load_jobs()
    text = rendered(jobs, config)
    known = yaml.safe_load(DVC_YAML.read_text(encoding="utf-8"))["stages"] if is_there() else {}
    shards = {job.name for job in jobs if job.is_shard}
    finished: set[str] = set()
    if known and shards != {name for name in known if OF_SHARDS.search(name.split("-")[0])}:
        with suppress(EngineError):  # without git there is no record that could stay
            finished = set(known) - set(dvc_status())
    write_text(DVC_YAML, text)
    if finished:
        spared = {job.name for job in stamped(jobs, finished=finished)}
        if stages := [name for name in dvc_status() if name in finished | spared]:
            dvc("commit", "--force", "--quiet", *stages)
    return "dvc.yaml written."


def stamped(jobs: list[Job], *, finished: Collection[str]) -> list[Job]:
    """Shards of finished steps that Snakemake has not run: they have nothing left to do.

    Missing stamps are written and touched in Snakemake, by rule, so that no step before them is.
    They get the oldest time: a stamp newer than its step's outputs would rerun the step.
    """
    steps = {job.step for job in jobs if job.name in finished and not job.is_shard}
    spared = [job for job in jobs if job.is_shard and job.step in steps and not job.made]
    new = [job for job in spared if not Path(job.outputs[0][1]).is_file()]
    for _, of_rule in groupby(new, key=lambda job: job.rule):
        stamps = [Path(job.outputs[0][1]) for job in of_rule]
        for stamp in stamps:
            write_text(stamp, f"{stamp.name}\n")
        names = [str(stamp) for stamp in stamps]
        snakemake(*TOUCH, "--nolock", "--forcerun", *names, "--", *names)
        for stamp in stamps:
            os.utime(stamp, (0, 0))
    return spared


def adopt() -> str:
    """Mark DVC's up-to-date steps as up to date in Snakemake. Returns a one-sentence summary.

    A step is adopted only if all steps before it are; later steps of a stale one run again.
    Changed code is touched, since Snakemake checks only inputs newer than the results.
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
        snakemake(*TOUCH, "--forcerun", *good, "--", *good)
    said = [f"steps adopted from DVC: {len(good)} of {len(jobs)}"]
    said += (
        [f"to be run: {_listed(stale)} (`dvc status` says why; `dvc pull` fetches shared results)"]
        if stale
        else []
    )
    return f"Snakemake: {'; '.join(said)}."


def dvc_status() -> Status:
    """Every stage that is out of date according to DVC, with the reasons."""
    return json.loads(dvc("status", "--json"))


def _changed_inputs(changed: Status) -> list[str]:
    """Inputs with changed content, of stages that ran before."""
    return [
        path
        for reasons in changed.values()
        for reason in reasons
        if isinstance(reason, dict)
        for path, how in cast(dict[str, Any], reason).get("changed deps", {}).items()
        if how == "modified"
    ]


def _with_followers(jobs: list[Job], changed: Iterable[str]) -> list[str]:
    """Jobs of the changed stages and all jobs after them, in the order of the graph."""
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


def main(verb: str) -> str:
    """Run the verb and return a one-sentence summary."""
    if verb == "record":
        return record()
    if verb == "adopt":
        return adopt()
    if verb == "write":
        return write()
    if is_stale(rendered(*load_jobs())):
        raise EngineError(STALE)
    return "dvc.yaml matches the Snakefile."


if __name__ == "__main__":
    if sys.argv[1:] not in [["check"], ["write"], ["record"], ["adopt"]]:
        sys.exit(__doc__)
    try:
        print(main(sys.argv[1]))
    except (EngineError, GraphError, InexpressibleError, UserError) as error:
        verb = "DVC: not recorded" if sys.argv[1] == "record" else sys.argv[1]
        is_plain = sys.argv[1] != "record" or isinstance(error, AlteredError)
        sys.exit(f"{verb}: {error}" + ("" if is_plain else "; fix it, then `make record`"))
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {disk_sentence(error)}, then `make {sys.argv[1]}`")
    except KeyboardInterrupt:
        sys.exit(f"{sys.argv[1]}: stopped; run it again")
