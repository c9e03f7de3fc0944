"""Ctrl-C on Snakemake itself: one sentence, and no traceback of Snakemake or asyncio."""

import signal
import subprocess
import sys

import pytest
from experiment import ROOT

START = """
import asyncio, signal, sys
sys.path.insert(0, "workflow")
signal.signal(signal.SIGINT, signal.default_int_handler)
import interrupts
interrupts.end_quietly()
async def interrupted():
    signal.raise_signal(signal.SIGINT)
"""
SAID = "stopped; run again to resume\n"


def outcome(code):
    run = subprocess.run(
        [sys.executable, "-c", START + code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return run.returncode, run.stderr


@pytest.mark.parametrize(
    "code", ["signal.raise_signal(signal.SIGINT)", "asyncio.run(interrupted())"]
)
def test_an_interrupt_is_one_sentence(code):
    assert outcome(code) == (-signal.SIGINT, SAID)


def test_a_task_that_nobody_awaits_prints_no_traceback():
    code = """
async def main():
    task = asyncio.ensure_future(asyncio.sleep(9))
    await asyncio.sleep(0)
    task.cancel()
    asyncio.get_running_loop().call_exception_handler(
        {"message": "was never retrieved", "exception": KeyboardInterrupt()}
    )
asyncio.run(main())
"""
    assert outcome(code) == (0, "")


def test_an_interrupt_within_a_finaliser_prints_no_traceback():
    code = """
class Closed:
    def __del__(self):
        raise KeyboardInterrupt
Closed()
"""
    assert outcome(code) == (0, "")


def test_another_error_keeps_its_traceback():
    code, said = outcome("1 / 0")
    assert code == 1
    assert "ZeroDivisionError" in said
    assert SAID not in said


def test_the_snakefile_asks_for_it_before_its_slow_imports():
    text = (ROOT / "workflow/rules/common.smk").read_text()
    assert text.index("interrupts.end_quietly()") < text.index("from recam")
