"""The quarter of the fault campaign that fits into the tests: every case is right or refused."""

import subprocess

import experiment
import pytest

RUN = experiment.ROOT / "tests/campaign/run.py"
INPUTS = ("table", "split", "classes", "image", "mask", "params", "arguments")
OF_RUN = ("checkpoint", "maps", "masks", "cut", "kill-step", "fault-step")


def campaign(out, kinds, *options):
    """Run some kinds; the output ends with the table."""
    words = ["python", RUN, "--part", "quarter", "--out", out, "--kinds", *kinds, *options]
    run = subprocess.run(
        [str(word) for word in words],
        env=experiment.quick_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, f"{run.stdout}{run.stderr[-3000:]}"


@pytest.mark.slow
def test_bad_inputs_are_refused_or_read_right(tmp_path):
    code, output = campaign(tmp_path, INPUTS)
    assert code == 0, output


@pytest.mark.slow
def test_damaged_files_and_killed_steps_end_right_or_in_one_sentence(tmp_path, finished):
    code, output = campaign(tmp_path, OF_RUN, "--finished", finished)
    assert code == 0, output
