"""README names only what exists: targets, files, modules, options, parameters, links."""

import importlib.util
import re
from functools import cache

import pytest
import yaml
from dvc.cli.parser import get_main_parser
from experiment import ROOT
from snakemake.cli import get_argument_parser

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```\w*\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    re.split(r"\s+#", line.removeprefix("$ "))[0].strip()
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if re.match(r"(\$ )?(make|snakemake|dvc|python|cp) ", line)
]


def words_of(program):
    return [command.split() for command in COMMANDS if command.startswith(f"{program} ")]


@cache
def snakemake_options():
    parser = get_argument_parser()
    return {option for action in parser._actions for option in action.option_strings}


def test_there_are_commands_of_every_kind():
    assert len(COMMANDS) > 25
    assert {command.split()[0] for command in COMMANDS} >= {"make", "snakemake", "dvc", "python"}


def test_every_target_of_make_exists():
    targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([\w.-]+)", " && ".join(COMMANDS)))
    assert {"run", "test", "report", "install", "adopt", "experiments"} <= named <= targets


def test_every_file_and_module_exists():
    for words in [*words_of("python"), *words_of("snakemake"), *words_of("cp")]:
        for word in words:
            if re.match(r"(presets|profiles|benchmarks|workflow|examples)/", word):
                assert (ROOT / word).exists(), word
        if words[1] == "-m":
            assert importlib.util.find_spec(words[2]), words[2]


def test_snakemake_knows_every_option():
    for words in words_of("snakemake"):
        options = {word for word in words if word.startswith("--")}
        assert options <= snakemake_options(), words


@pytest.mark.parametrize("words", words_of("dvc"), ids=" ".join)
def test_dvc_understands_every_command(words):
    end = words.index("|") if "|" in words else len(words)
    arguments, _ = get_main_parser().parse_known_args(words[1:end])
    assert callable(arguments.func)


def test_every_parameter_of_an_experiment_exists():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    changes = re.findall(r"-S (\w+)\.(\w+)=", README)
    assert len(changes) > 5
    for section, name in changes:
        assert name in params[section], f"{section}.{name}"


def test_links_within_the_project_lead_somewhere():
    for text in (README, (ROOT / "CONTRIBUTING.md").read_text()):
        for target in re.findall(r"\]\((?!http|#)([^)]+)\)", text):
            assert (ROOT / target).exists(), target
    headings = {h.lower().replace(" ", "-") for h in re.findall(r"^#+ (.+)", README, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings
