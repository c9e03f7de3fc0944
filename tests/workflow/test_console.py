"""The console script: its help, wrong command lines, and the subcommand check."""

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from recam.commands.main import COMMANDS, main, parser_of
from recam.runtime.commands import run_command

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "pandas", "matplotlib", "scipy")
WITHOUT_HEAVY = (
    "import sys; from recam.commands.main import main\n"
    "try: code = main(sys.argv[1:])\n"
    "except SystemExit as stop: code = stop.code\n"
    f"assert not set({HEAVY!r}) & set(sys.modules), sorted(set({HEAVY!r}) & set(sys.modules))\n"
    "sys.exit(code)"
)
WRITTEN = [name for name, c in COMMANDS.items() if find_spec(f"recam.commands.{c.module}")]


def script(*words, folder):
    """Exit code, lines of stdout and of stderr of the console script, which imports nothing big."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HEAVY, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def fits_a_screen(lines):
    return len(lines) <= 24 and max(map(len, lines)) <= 80


@pytest.mark.parametrize("words", [["--help"], ["-h"], []])
def test_help_lists_every_command_with_an_example(words, capsys):
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert fits_a_screen(lines)
    assert {line.split()[0] for line in lines if line.startswith("  ")} == {*COMMANDS, "recam"}


@pytest.mark.parametrize("name", WRITTEN)
def test_help_of_a_command_fits_a_screen_and_knows_the_options_of_its_example(name):
    command = import_module(f"recam.commands.{COMMANDS[name].module}")
    parser = parser_of(name, command)
    lines = parser.format_help().splitlines()
    assert fits_a_screen(lines)
    assert "".join(lines[-2:]) == f"example:  {command.EXAMPLE}"
    assert command.EXAMPLE.split()[:2] == ["recam", name]
    options = {word for word in command.EXAMPLE.split() if word.startswith("--")}
    assert options <= parser._option_string_actions.keys()


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    text = (ROOT / "pyproject.toml").read_text()
    assert f'\nversion = "{capsys.readouterr().out.split()[1]}"\n' in text


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("prdict", "there is no command 'prdict'; did you mean predict?"),
        ("Export", "there is no command 'Export'; did you mean export?"),
        ("--verison", "there is no option '--verison'; did you mean --version?"),
        ("x", "there is no command 'x'; expected one of predict, export, check,"),
    ],
)
def test_a_misspelt_command_gets_the_nearest(word, sentence, capsys):
    assert main([word]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"recam: {sentence}")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (
            ["--scales", "1e9"],
            2,
            "argument --scales: expected a number above 0, at most 4, got 1e9",
        ),
        (["--device", "gpu"], 2, "argument --device: expected auto, cpu, cuda or cuda:1, got gpu"),
        (["--scale", "1"], 2, "unrecognized arguments: --scale 1"),
        (["nowhere.png"], 1, "nowhere.png: not found; pass images, folders or quoted patterns"),
        ([], 1, "segmenter.pt: not found; correct the path"),
    ],
)
def test_arguments_are_checked_before_torch_is_imported(tmp_path, words, code, sentence):
    (tmp_path / "a.png").write_bytes(b"")
    given = ["predict", "a.png", *words, "--checkpoint", "segmenter.pt"]
    ended, said, (error,) = script(*given, folder=tmp_path)
    assert (ended, said) == (code, [])
    assert sentence in error
    assert {path.name for path in tmp_path.iterdir()} == {"a.png"}


def test_paths_of_the_other_commands_are_checked_before_imports(tmp_path):
    for words, sentence in {
        "export --checkpoint s.pt --onnx s.onnx": "s.pt: not found; correct the path",
        "check nowhere": "nowhere: expected the folder of a data set; check the path",
        "check . --params p.yaml": "p.yaml: not found; correct the path",
    }.items():
        assert script(*words.split(), folder=tmp_path) == (1, [], [sentence])


def test_check_prints_the_report_and_fails_for_errors(tmp_path, capsys):
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("a\n")
    (tmp_path / "labels.csv").write_text("id,cat\na,1\n")
    (tmp_path / "classes.txt").write_text("cat\n")
    assert main(["check", str(tmp_path), "--report", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert "error" in printed.out
    assert printed.err.count("\n") == 1
    assert "; fix or remove it" in printed.err
    assert printed.out.startswith((tmp_path / "out/report.md").read_text().strip()[:200])


def test_a_lack_of_memory_is_one_sentence(capsys):
    def other():
        raise RuntimeError("shapes differ")

    def huge():
        raise MemoryError("Unable to allocate 999999. GiB for an array")

    assert run_command(huge, name="recam predict", numbers={"batch_size": 4}) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recam predict: out of memory: tried to allocate 999999.00 GiB")
    assert line.endswith("lower batch_size (4)")
    with pytest.raises(RuntimeError, match="shapes differ"):
        run_command(other, name="recam predict")


def test_a_closed_pipe_ends_the_command_quietly():
    command = f"{sys.executable} -m recam --help | true"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert run.stderr == ""
