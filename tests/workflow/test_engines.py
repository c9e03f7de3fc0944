"""Snakemake and DVC agree: each accepts the results that the other made."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import experiment
import pytest
import yaml
from experiment import BIN, ROOT, command, dvc, engines, snakemake
from filelock import FileLock

pytestmark = pytest.mark.slow
IDLE = "Nothing to be done"
SUMMARY = "results/summary.md"  # its step takes a tenth of the time of the last one, draw
UP_TO_DATE = "Data and pipelines are up to date."
EVALUATED = ["evaluate-seed0-cam", "evaluate-seed0-recam", "evaluate-seed0-supervised"]


def change(folder, section, **numbers):
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params[section] |= numbers
    experiment.write_params(folder, params)


def idle(folder):
    """True if neither engine has a step to run."""
    planned, status = snakemake(folder, "--dry-run"), dvc(folder, "status")
    return IDLE in planned.stdout and UP_TO_DATE in status.stdout


def stale(folder):
    """Stages that are out of date according to DVC."""
    return sorted(json.loads(dvc(folder, "status", "--json").stdout.splitlines()[-1]))


def times(folder):
    """The time of the last write of every output."""
    files = [*(folder / "results").rglob("*"), *(folder / "data").rglob("*")]
    return {f.relative_to(folder): f.stat().st_mtime_ns for f in files if f.is_file()}


def no_traceback(run):
    return "Traceback" not in run.stdout


# --- one run, two engines ---


def test_every_change_is_seen_by_both_engines_alike(finished):
    """A twelfth of the parameters and code of `make matrix`, and a fifth of its outputs."""
    words = ["python", ROOT / "workflow/matrix.py", "--experiment", finished, "--sample"]
    table = command(finished, *words)
    assert table.returncode == 0, "\n".join(r for r in table.stdout.splitlines() if "DEVI" in r)
    assert re.search(r"^\d{2,3} cases, 0 deviations$", table.stdout.splitlines()[-1])


def test_a_snakemake_run_leaves_nothing_to_do_for_dvc(tree):
    assert idle(tree)
    before = times(tree)
    assert UP_TO_DATE in dvc(tree, "repro").stdout
    assert times(tree) == before


def test_dvc_from_nothing_writes_the_same_lock_and_snakemake_adopts_it(finished, tmp_path):
    experiment.set_up(tmp_path, experiment.small_params())
    engines(tmp_path, "write")
    run = dvc(tmp_path, "repro")
    assert run.returncode == 0, run.stdout
    assert (tmp_path / "dvc.lock").read_text() == (finished / "dvc.lock").read_text()
    adopted = engines(tmp_path, "adopt")
    assert "steps adopted from DVC: 17 of 17" in adopted.stdout
    assert idle(tmp_path)


def test_a_colleague_pulls_and_runs_nothing(tree, tmp_path):
    for words in (
        ["remote", "add", "--default", "store", str(tmp_path / "store")],
        ["push"],
    ):
        assert dvc(tree, *words).returncode == 0
    experiment.commit(tree, "share")
    clone = tmp_path / "clone"
    command(tmp_path, "git", "clone", "--quiet", tree, clone)
    assert stale(clone)  # only what git keeps has come
    assert "to be run: download" in engines(clone, "adopt").stdout
    assert dvc(clone, "pull").returncode == 0
    engines(clone, "adopt")
    assert idle(clone)
    checkpoint = "results/seed0/recam/classifier.pt"
    assert (clone / checkpoint).read_bytes() == (tree / checkpoint).read_bytes()


def test_touching_every_file_reruns_nothing(tree):
    for path in tree.rglob("*"):
        if not {".snakemake", ".git", ".dvc"} & set(path.parts):
            os.utime(path)
    assert idle(tree)


def test_comments_and_parameters_without_effect_rerun_nothing_in_either_engine(tree):
    params = yaml.safe_load((tree / "params.yaml").read_text())
    experiment.write_params(
        tree, params | {"watch": "tensorboard", "feature_cache": 1, "storage": "archives"}
    )
    for name in ("workflow/scripts/evaluate.py", "src/recam/core/errors.py"):
        path = tree / name
        path.write_text("# a comment\n" + path.read_text())
    assert IDLE in snakemake(tree, "--dry-run").stdout
    run = dvc(tree, "repro").stdout
    assert re.findall(r"^Running stage '(.*)'", run, re.MULTILINE) == ["check_graph"]
    assert idle(tree)
    change(tree, "machine", shards=2)
    assert engines(tree, "write").returncode == 0  # it stamps the shards of finished steps
    assert IDLE in snakemake(tree, "--dry-run").stdout


def test_a_changed_line_stops_dvc_where_the_same_bytes_come_out(tree):
    path = tree / "workflow/scripts/evaluate.py"
    path.write_text(path.read_text() + "\n_unused = 0\n")
    run = dvc(tree, "repro").stdout
    assert re.findall(r"^Running stage '(.*)'", run, re.MULTILINE) == ["check_graph", *EVALUATED]
    assert "Stage 'summarize' didn't change, skipping" in run


def test_dvc_restores_an_altered_output_and_goes_no_further(tree):
    path = tree / "results/seed0/recam/metrics.json"
    good = path.read_text()
    path.write_text(good.replace("train", "val"))
    run = dvc(tree, "repro").stdout
    assert "Stage 'evaluate-seed0-recam' is cached - skipping run, checking out outputs" in run
    assert "Stage 'summarize' didn't change, skipping" in run
    assert path.read_text() == good
    assert idle(tree)


def test_an_experiment_is_compared_and_adopted_and_the_next_run_by_snakemake_recorded(tree):
    run = dvc(tree, "exp", "run", "--set-param", "draw.examples=1", "--name", "few")
    assert run.returncode == 0, run.stdout
    differences = json.loads(dvc(tree, "params", "diff", "HEAD", "few", "--json").stdout)
    assert differences == {"params.yaml": {"draw.examples": {"old": 2, "new": 1, "diff": -1}}}
    shown = json.loads(dvc(tree, "metrics", "diff", "HEAD", "few", "--all", "--json").stdout)
    assert shown["results/metrics.json"]["cams.recam.miou"]["diff"] == 0
    assert "\nfew," in dvc(tree, "exp", "show", "--csv").stdout
    assert IDLE not in snakemake(tree, "--dry-run").stdout
    assert "17 of 17" in engines(tree, "adopt").stdout
    assert idle(tree)
    change(tree, "draw", examples=2)
    assert "steps recorded in dvc.lock: 1" in snakemake(tree).stdout
    assert idle(tree)


def test_a_copy_of_the_project_runs_its_own_library(tree):
    """Queued experiments run in copies, while the code here may change."""
    (tree / "src/recam/core/errors.py").write_text("raise SystemExit('mine')\n")
    run = command(tree, "python", "workflow/scripts/summarize.py", "--help")
    assert run.stdout == "mine\n"


def test_plots_are_drawn_from_a_run(tree):
    run = dvc(tree, "plots", "show", "--json")
    plots = json.loads(run.stdout.splitlines()[-1])["data"]
    tables = {f"results/{n}.csv" for n in ("thresholds", "curves", "per_class", "confusion")}
    assert tables < set(plots)
    pictures = {name for name in plots if name.endswith((".png", ".jpg"))}
    assert "results/picture.png" in pictures
    assert sum("figures/maps" in name for name in pictures) == 4
    assert set(plots) == tables | pictures
    for name in tables:
        (drawing,) = plots[name]
        assert "<DVC_METRIC" not in json.dumps(drawing["content"])
        assert len(drawing["content"]["data"]["values"]) > 5


# --- limits of record ---


def test_an_altered_output_is_not_recorded(tree):
    """Snakemake does not compare outputs; committing all steps would accept this one."""
    path = tree / "results/metrics.json"
    path.write_text(path.read_text().replace("miou", "moiu"))
    assert IDLE in snakemake(tree, "--dry-run").stdout
    assert "not up to date: summarize" in engines(tree, "record").stdout
    assert stale(tree) == ["summarize"]


def test_a_touched_output_is_not_recorded(tree):
    change(tree, "draw", examples=1)
    run = snakemake(tree, "--touch")
    assert "nothing recorded: --touch makes nothing" in run.stdout
    assert IDLE in snakemake(tree, "--dry-run").stdout  # for Snakemake it is up to date
    assert "not up to date: draw" in engines(tree, "record").stdout
    assert stale(tree) == ["draw"]


def test_results_altered_under_their_old_times_are_not_recorded(tree):
    """No time tells of them; committing them would make the damage the truth."""
    for name in ("segmenter.pt", "irn.pt"):  # which summarize does not read
        file = tree / "results/seed0/recam" / name
        altered_in_place(file, file.read_bytes()[:-1] + b"?")
    (tree / "data/SegmentationClass/foreign.png").touch()
    before = yaml.safe_load((tree / "dvc.lock").read_text())["stages"]
    change(tree, "summarize", examples=1)
    run = snakemake(tree, SUMMARY)
    assert run.returncode == 0
    assert (
        "SegmentationClass/foreign.png is not as download wrote it (1 of its files)" in run.stdout
    )
    after = yaml.safe_load((tree / "dvc.lock").read_text())["stages"]
    assert {name for name in after if after[name]["outs"] != before[name]["outs"]} == set()


def altered_in_place(path, content):
    stat = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_code_with_an_older_time_is_seen(tree):
    path = tree / "workflow/scripts/summarize.py"
    path.write_text(path.read_text() + "\n_unused = 0\n")
    os.utime(path, (0, 0))
    assert "not up to date: summarize" in engines(tree, "record").stdout
    assert "to be run: summarize" in engines(tree, "adopt").stdout
    assert IDLE not in snakemake(tree, "--dry-run").stdout


def test_code_that_was_edited_during_a_run_is_not_recorded(tree):
    """Neither while the edit stands nor, since the step ran with it, after it is undone."""
    change(tree, "summarize", examples=1)
    script = tree / "workflow/scripts/draw.py"
    before = script.read_text()
    with subprocess.Popen(
        [BIN / "snakemake", "--cores", "1"],
        cwd=tree,
        env=experiment.environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as run:
        lines = iter(run.stdout.readline, "")
        next(line for line in lines if "Execute" in line)  # summarize has begun, draw follows
        script.write_text(before + "\n_unused = 0\n")
        said = "".join(lines)
    assert "steps recorded in dvc.lock: 1; not up to date: draw" in said
    script.write_text(before)
    words = "draw ran with code that was changed during the run; delete results/figures"
    assert words in engines(tree, "record").stdout
    assert stale(tree) == ["draw"]


def test_a_replaced_file_of_weights_is_seen_by_both_engines(tree):
    weights, step = tree / "weights.pt", "results/seed0/cam/irn.pt"
    weights.write_bytes(b"before")
    change(tree, "train_irn", weights="weights.pt")
    assert snakemake(tree, step).returncode == 0
    assert "train_irn-seed0-cam" not in stale(tree)
    altered_in_place(weights, b"after_")
    assert "train_irn" in snakemake(tree, "--dry-run", step).stdout
    assert "train_irn-seed0-cam" in stale(tree)
    weights.unlink()
    refused = snakemake(tree, "--dry-run", step)
    assert refused.returncode == 1
    assert "train_irn.weights: expected imagenet, none or the path of a file" in refused.stdout


def test_numbers_that_are_not_in_params_yaml_are_not_recorded(tree):
    before = (tree / "dvc.lock").read_text()
    (tree / "mine.yaml").write_text("summarize: {examples: 1}\n")
    run = snakemake(tree, SUMMARY, "--configfile", "mine.yaml")
    assert run.returncode == 0
    assert "nothing recorded: this run's numbers are not those of params.yaml" in run.stdout
    assert (tree / "dvc.lock").read_text() == before
    assert stale(tree) == ["draw", "summarize"]


# --- failures ---


def test_steps_before_a_failed_one_are_recorded_and_the_others_remain(tree):
    change(tree, "make_pseudo", crf_background=0.5)
    change(tree, "evaluate", seg_split="nowhere")
    run = snakemake(tree, "--keep-going", "results/seed0/recam/metrics.json")
    assert run.returncode != 0
    assert no_traceback(run)
    assert "nowhere" in run.stdout
    assert "steps recorded in dvc.lock: 2" in run.stdout
    left = set(EVALUATED)
    assert left <= set(stale(tree)) <= left | {"train_seg-seed0-cam", "summarize", "draw"}


def test_a_killed_run_goes_on_where_it_stopped_and_is_recorded_by_the_next(tree):
    change(tree, "evaluate", threshold="fixed", cams_threshold=0.3)
    words = [BIN / "snakemake", "--cores", "1"]
    with subprocess.Popen(
        words,
        cwd=tree,
        env=experiment.environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as run:
        done = 0
        for line in iter(run.stdout.readline, ""):
            done += line.startswith("Finished jobid")
            if done and "Execute" in line:  # the second evaluation has begun
                os.killpg(run.pid, signal.SIGKILL)
                break
    refused = engines(tree, "adopt")
    assert refused.returncode == 1
    assert "`snakemake --unlock`, then again" in refused.stdout
    assert snakemake(tree, "--unlock").returncode == 0
    again = snakemake(tree)
    assert len(re.findall(r"^Finished jobid.*evaluate", again.stdout, re.MULTILINE)) == 2
    assert "steps recorded in dvc.lock: 5" in again.stdout
    assert idle(tree)


def test_a_record_that_fails_warns_and_can_be_made_up_for(tree):
    change(tree, "summarize", examples=1)
    shutil.move(tree / ".dvc/cache", tree / "cache")
    (tree / ".dvc/cache").write_text("in the way")
    run = snakemake(tree, SUMMARY)
    assert run.returncode == 0
    assert no_traceback(run)
    assert "DVC: not recorded: `dvc" in run.stdout
    assert "fix it, then `make record`" in run.stdout
    (tree / ".dvc/cache").unlink()
    shutil.move(tree / "cache", tree / ".dvc/cache")
    next_run = snakemake(tree, SUMMARY).stdout
    assert IDLE in next_run  # no step is left, and yet the former run is made up for
    assert "steps recorded in dvc.lock: 1" in next_run
    assert stale(tree) == ["draw"]  # which comes after it


def test_a_full_disk_during_record_loses_nothing(tree):
    change(tree, "train_cam", lr=0.02)
    assert snakemake(tree, "--no-hooks", "results/seed0/cam/classifier.pt").returncode == 0
    before = (tree / "dvc.lock").read_text()
    limited = f"ulimit -f 1000; {sys.executable} workflow/engines.py record"  # of 1 KiB
    run = command(tree, "bash", "-c", limited)
    assert run.returncode == 1
    assert re.fullmatch(r"DVC: not recorded: `dvc [a-z]+` failed: .*make record`\n", run.stdout)
    assert (tree / "dvc.lock").read_text() == before
    assert "recorded in dvc.lock: 1" in engines(tree, "record").stdout


def test_both_engines_at_once_never_write_the_same_output(tree):
    """The next run makes it, whatever of the user's is not committed."""
    change(tree, "draw", examples=1)
    with FileLock(tree / "results/figures/.answer.html.lock"):  # what a step holds while it runs
        for run in (dvc(tree, "repro"), snakemake(tree)):
            assert run.returncode != 0
            assert "results/figures/answer.html is being written by another process" in run.stdout
            assert no_traceback(run)
    (tree / "workflow/notes.md").write_text("mine\n")
    (tree / "dvc.yaml").write_text((tree / "dvc.yaml").read_text() + "# mine\n")
    run = snakemake(tree)
    assert run.returncode == 0
    assert "DVC: dvc.yaml rewritten; steps recorded in dvc.lock: 1" in run.stdout
    assert idle(tree)


def test_both_engines_started_together_end_in_agreement(tree):
    change(tree, "draw", examples=1)
    with subprocess.Popen(
        ["dvc", "repro", "--quiet"],
        cwd=tree,
        env=experiment.quick_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ):
        assert no_traceback(snakemake(tree))
    assert dvc(tree, "repro").returncode == 0
    engines(tree, "adopt")
    assert idle(tree)


def test_a_corrupt_object_in_the_cache_is_not_adopted(tree):
    lock = yaml.safe_load((tree / "dvc.lock").read_text())
    outs = {out["path"]: out["md5"] for out in lock["stages"]["train_cam-seed0-cam"]["outs"]}
    md5 = outs["results/seed0/cam/classifier.pt"]
    stored = tree / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"
    stored.chmod(0o644)
    stored.write_bytes(b"corrupt")
    (tree / "results/seed0/cam/classifier.pt").unlink()
    dvc(tree, "checkout")
    run = engines(tree, "adopt")
    assert "to be run: train_cam-seed0-cam" in run.stdout
    assert no_traceback(run)


# --- dvc.yaml ---


def test_a_stale_dvc_yaml_is_reported_by_both_engines_and_rewritten(tree):
    text = (tree / "dvc.yaml").read_text()
    path = tree / "Snakefile"
    path.write_text(
        path.read_text().replace('" --curve {output.curve}', '"  --curve {output.curve}')
    )
    assert engines(tree, "check").returncode == 0  # white space does not change a command line
    path.write_text(path.read_text().replace("--table {output.table}", "--table  ./{output.table}"))
    for run in (engines(tree, "check"), dvc(tree, "repro"), engines(tree, "adopt")):
        assert run.returncode != 0
        assert "dvc.yaml does not match the Snakefile" in run.stdout
        assert "run `make dvc.yaml`" in run.stdout
        assert no_traceback(run)
    assert engines(tree, "write").returncode == 0
    assert (tree / "dvc.yaml").read_text() == text.replace(
        "--table results/summary.md", "--table ./results/summary.md"
    )


def test_more_replicates_are_refused_until_dvc_yaml_has_them(tree):
    run = dvc(tree, "exp", "run", "--set-param", "random_seeds=[0,1]")
    assert run.returncode != 0
    assert "run `make dvc.yaml`" in run.stdout


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        ("summarize.examples=-1", "summarize.examples: expected"),
        ("summarize.exmples=3", "summarize.exmples is not a parameter; did you mean examples?"),
    ],
)
def test_dvc_refuses_a_wrong_number_before_anything_runs(tree, number, sentence):
    before = times(tree)
    run = dvc(tree, "exp", "run", "-S", "train_cam.lr=0.01", "-S", f"++{number}")
    assert run.returncode != 0
    assert sentence in run.stdout
    assert "Running stage 'train_cam" not in run.stdout
    assert no_traceback(run)
    assert times(tree) == before


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("    shell:\n", "    run:\n        pass\n    #", "rule summarize: expected `shell:`"),
        ('    log:\n        "logs/summarize.log",\n', "", "rule summarize: expected `log:`"),
        ('summarize=section("summarize")', "3", "rule summarize: expected params named after"),
        (
            'summarize=section("summarize")',
            'summarize=section("download")',
            "got summarize; write summarize=section('NAME')",
        ),
        (
            "summarize.py --data data",
            "summarize.py --data data {threads}",
            "names threads, which",
        ),
    ],
)
def test_a_rule_that_dvc_could_not_run_is_refused_by_name(tree, old, new, sentence):
    path = tree / "Snakefile"
    head, rule = path.read_text().split("rule summarize:")
    rule = rule.replace(old, new, 1)
    if "run:" in new:
        rule = re.sub(r"    #.*?(?=\n\n\n)", "", rule, count=1, flags=re.DOTALL)
    rule = rule.replace("--log {log} ", "") if "log:" in old else rule
    rule = rule.replace(" {params.summarize}", "") if new == "3" else rule
    path.write_text(f"{head}rule summarize:{rule}")
    run = engines(tree, "write")
    assert run.returncode == 1
    assert sentence in run.stdout
    assert no_traceback(run)


def test_a_section_that_is_missing_is_named(tree):
    params = yaml.safe_load((tree / "params.yaml").read_text())
    del params["summarize"]
    experiment.write_params(tree, params)
    for verb in ("check", "record", "adopt"):
        run = engines(tree, verb)
        assert run.returncode == 1
        assert "summarize is missing" in run.stdout
        assert no_traceback(run)


def test_without_git_the_experiment_runs_and_says_what_to_do(tree):
    shutil.rmtree(tree / ".git")
    change(tree, "summarize", examples=1)
    run = snakemake(tree, SUMMARY)
    assert run.returncode == 0
    assert "DVC: not recorded" in run.stdout
    assert "git init" in run.stdout
    assert no_traceback(run)


@pytest.mark.parametrize("verb", ["record", "adopt"])
def test_a_merge_conflict_in_the_lock_is_reported(tree, verb):
    path = tree / "dvc.lock"
    path.write_text(f"<<<<<<< HEAD\n{path.read_text()}=======\n>>>>>>> theirs\n")
    run = engines(tree, verb)
    assert run.returncode == 1
    assert "'./dvc.lock' is invalid (possible merge conflicts)" in run.stdout
    assert "`git checkout --ours dvc.lock`" in run.stdout
    assert run.stdout.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"\xf7\0"])
def test_a_damaged_lock_is_one_sentence_with_a_remedy(tree, content):
    (tree / "dvc.lock").write_bytes(content)
    run = engines(tree, "record")
    assert run.returncode == 1
    assert "dvc.lock'" in run.stdout
    assert "restore it with `git checkout dvc.lock`, or delete it" in run.stdout
    assert run.stdout.count("\n") == 1
