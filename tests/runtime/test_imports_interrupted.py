"""Ctrl-C and missing libraries while a program starts: one sentence, no traceback."""

import gc
import signal
import subprocess
import sys

import pytest

from recam.runtime.loading import end_loading

# A shell that starts programs in the background lets them ignore Ctrl-C; these do not.
START = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from recam.runtime.loading import begin_loading, end_loading; begin_loading(); "
)


def outcome(code):
    run = subprocess.run([sys.executable, "-c", START + code], capture_output=True, check=False)
    return run.returncode, run.stderr.decode()


def test_an_interrupt_while_libraries_load_is_one_line():
    assert outcome("import signal; signal.raise_signal(signal.SIGINT)") == (
        130,
        "stopped; run again to resume\n",
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("ImportError('a.so: failed to map segment')", "a.so: failed to map segment; raise"),
        ("ModuleNotFoundError('No module')", "No module; run `make install`"),
        ("MemoryError()", "MemoryError; raise the limit of memory"),
    ],
)
def test_a_library_that_cannot_be_loaded_is_one_line(error, words):
    code, said = outcome(f"raise {error}")
    assert code == 1
    assert f"a library cannot be loaded: {words}" in said
    assert said.count("\n") == 1


def test_an_error_of_this_project_keeps_its_traceback():
    assert "Traceback" in outcome("from recam.core.errors import NoSuchError")[1]


def test_after_loading_an_interrupt_is_an_exception_again():
    code, said = outcome("end_loading(); import signal; signal.raise_signal(signal.SIGINT)")
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in said


def test_objects_of_imports_are_left_to_no_later_collection():
    code, said = outcome(
        "import gc, sys; gc.disable(); before = gc.get_freeze_count(); end_loading(); "
        "sys.exit(f'{before} {gc.isenabled()} {gc.get_freeze_count() > 1000}')"
    )
    assert (code, said) == (1, "0 True True\n")


def test_the_end_of_no_loading_keeps_the_collector_as_it_is():
    frozen = gc.get_freeze_count()
    end_loading()
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, frozen)
