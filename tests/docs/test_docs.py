"""Pages name only existing targets, files, modules, options, parameters, links."""

import importlib
import importlib.util
import os
import re
import runpy
import subprocess
import sys
import textwrap
from functools import cache

import pytest
import yaml
from dvc.cli.parser import get_main_parser
from experiment import ROOT
from snakemake.cli import get_argument_parser

from recam.commands import main as console

PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
# Every block between fences, indented in a list or not: page, language, text.
BLOCKS = [
    (page, language, textwrap.dedent(block))
    for page, text in PAGES.items()
    for _, language, block in re.findall(
        r"^( *)```([^\n]*)\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE
    )
]
PROSE = {
    page: re.sub(r"^( *)```.*?^\1```", "", text, flags=re.DOTALL | re.MULTILINE)
    for page, text in PAGES.items()
}
CODE = {page: re.findall(r"`([^`]+)`", text) for page, text in PROSE.items()}
LOG = "docs/log.md"  # its commands belong to the commits beside them
SESSION = "docs/python.md"  # its blocks are one program: tests/interface/test_python_page.py
PROGRAM = r"(\$ )?(make|snakemake|dvc|recam|python|cp|pip) "
COMMANDS = [
    (page, re.split(r"\s+#", command.removeprefix("$ "))[0].strip())
    for page, lines in (
        *((page, text.replace("\\\n", " ").splitlines()) for page, _, text in BLOCKS),
        *((page, [" ".join(code.split()) for code in codes]) for page, codes in CODE.items()),
    )
    for line in lines
    if re.match(PROGRAM, line) and page != LOG
    for command in line.split(" && ")
]
FOLDERS = "src|workflow|presets|profiles|benchmarks|examples|tests|docs|.ci|.dvc"
# Outputs, and patterns of names.
MADE = re.compile(r"docs/(_build|results/NAME)/?|.*(NAME|\{|\*|\.\.\.)")
ROOMS = (
    "core|runtime|io|methods|models|refine|data|datasets|checks|pipeline|report|catalogue|interface"
    "|steps"
)


def words_of(program):
    return [command.split() for _, command in COMMANDS if command.startswith(f"{program} ")]


def ids(words):
    return " ".join(words)


@cache
def snakemake_options():
    parser = get_argument_parser()
    return {option for action in parser._actions for option in action.option_strings}


@cache
def params():
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def test_there_are_commands_of_every_kind():
    assert len(COMMANDS) > 60
    assert {command.split()[0] for _, command in COMMANDS} >= {"make", "snakemake", "dvc", "python"}


def test_every_target_of_make_exists():
    targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for words in words_of("make") for word in words[1:] if "=" not in word}
    assert {"run", "test", "report", "install", "adopt", "experiments", "docs"} <= named
    assert not named - targets


def test_every_file_in_a_command_and_every_module_exists():
    for words in [*words_of("python"), *words_of("snakemake"), *words_of("cp")]:
        for word in words:
            if re.match(rf"({FOLDERS})/", word):
                assert (ROOT / word).exists(), word
        if words[1] == "-m":
            assert importlib.util.find_spec(words[2]), words[2]


@pytest.mark.parametrize("words", words_of("python"), ids=ids)
def test_every_option_of_a_script_is_in_its_source(words):
    if words[1] == "-c":
        return
    file = ROOT / words[1]
    if words[1] == "-m":
        file = ROOT / "src" / (words[2].replace(".", "/") + ".py")
    sources = [*file.parent.glob("*.py"), *(ROOT / "src/recam/steps").glob("*.py")]
    source = "".join(f.read_text() for f in sources)
    for option in {word for word in words if word.startswith("--")} - {"--help"}:
        field = f"\n    {option.removeprefix('--')}: Annotated["  # of a step
        assert f'"{option}"' in source or field in source, f"{file}: {option}"


def test_snakemake_knows_every_option():
    for words in words_of("snakemake"):
        options = {word for word in words if word.startswith("--")}
        assert options <= snakemake_options(), words


@pytest.mark.parametrize("words", words_of("recam"), ids=ids)
def test_every_command_of_the_console_script_has_its_options(words):
    name, *rest = words[1:]
    if name in ("--help", "--version", "COMMAND"):
        return
    parser = console.parser_of(
        name, importlib.import_module(f"recam.commands.{console.COMMANDS[name].module}")
    )
    assert {word for word in rest if word.startswith("--")} <= set(parser._option_string_actions)


@pytest.mark.parametrize("words", words_of("dvc"), ids=ids)
def test_dvc_understands_every_command(words):
    arguments, _ = get_main_parser().parse_known_args(words[1:])
    assert callable(arguments.func)


def test_every_parameter_of_an_experiment_exists():
    changes = [c for text in PAGES.values() for c in re.findall(r"-S (\w+)\.(\w+)=", text)]
    assert len(changes) > 5
    for section, name in changes:
        assert name in params()[section], f"{section}.{name}"


@pytest.mark.parametrize("page", PAGES)
def test_every_parameter_in_the_text_exists(page):
    schema = (ROOT / "workflow/schemas/params.schema.yaml").read_text()
    sections = {name for name, value in params().items() if isinstance(value, dict)}
    for code in CODE[page]:
        named = re.match(r"(\w+)\.(\w+)(?=:|$)", code)
        if named and named[1] in sections and named[2] not in ("py", "tsv", "log", "yaml"):
            known = named[2] in params()[named[1]] or f" {named[2]}:" in schema
            assert known, f"{page}: {code}"


@pytest.mark.parametrize("page", [page for page in PAGES if page != LOG])
def test_every_file_in_the_text_exists(page):
    for code in CODE[page]:
        if re.fullmatch(rf"({FOLDERS})/[\w./*-]*", code) and not MADE.match(code):
            is_recipe = page == "docs/contributing.md" and code.startswith("src/recam/")
            assert (ROOT / code).exists() or is_recipe, f"{page}: {code}"


@pytest.mark.parametrize("page", PAGES)
def test_every_name_of_the_library_exists(page):
    for code in CODE[page]:
        if not re.fullmatch(rf"recam\.({ROOMS}|predict|export)(\.\w+)*", code):
            continue
        parts = code.split(".")
        paths = [ROOT / "src" / "/".join(parts[:n]) for n in range(len(parts), 1, -1)]
        module = next(path for path in paths if path.is_dir() or path.with_suffix(".py").is_file())
        rest = parts[len(module.relative_to(ROOT / "src").parts) :]
        for name in rest:
            assert re.search(rf"\b{name}\b", module.with_suffix(".py").read_text()), code


def anchors(text):
    headings = re.findall(r"^#+ (.+)", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_project_lead_somewhere(page):
    folder = (ROOT / page).parent
    for link in re.findall(r"\]\((?!http)([^)]+)\)", PROSE[page]):
        target, _, anchor = link.partition("#")
        file = folder / target if target else ROOT / page
        assert file.exists() or target == "reference/index.rst", f"{page}: {link}"
        if anchor:
            assert anchor in anchors(file.read_text()), f"{page}: {link}"


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(text, id=page)
        for page, kind, text in BLOCKS
        if kind == "python" and page != SESSION
    ],
)
def test_python_blocks_run(block, tmp_path, monkeypatch):
    file = tmp_path / "block.py"
    file.write_text(block)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(file))


def test_the_readme_is_short():
    assert len(PAGES["README.md"].splitlines()) <= 150


def test_tables_and_graph_are_current(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tables.py", "--check"])
    monkeypatch.syspath_prepend(ROOT / "docs")
    runpy.run_path(str(ROOT / "docs/tables.py"), run_name="__main__")


def test_a_kept_run_is_described_by_its_logs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    described = importlib.import_module("keep_results").described
    params_of_run = {"random_seeds": [7], "methods": ["cam"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params_of_run))
    logs = tmp_path / "logs/seed7/cam"
    logs.mkdir(parents=True)
    for step, seconds, memory, end in (("evaluate", 20, 300, 1100), ("train_cam", 60, 500, 1000)):
        (logs / f"{step}.tsv").write_text(f"s\tmax_rss\n{seconds}\t{memory}\n")
        os.utime(logs / f"{step}.tsv", (end, end))
    for words in (
        "init --quiet",
        "-c user.name=u -c user.email=e@e.org commit --allow-empty -qm 1",
    ):
        subprocess.run(["git", *words.split()], cwd=tmp_path, check=True)

    run = described(tmp_path, command="make run", overlays=[], wall_s=None)

    assert run["random_seeds"] == [7]
    assert run["wall_s"] == 1100 - (1000 - 60)
    assert run["peak_mib"] == 500
    assert [step["step"] for step in run["steps"]] == ["train_cam", "evaluate"]
    assert len(run["commit"]) == 40


def test_check_builds_the_pages_and_fails_at_a_warning():
    makefile = (ROOT / "Makefile").read_text()
    check = makefile.split("\ncheck:")[1].split("\n")[0]
    pages = makefile.split("\ncheck-pages:")[1].split("\n\n")[0]
    docs = makefile.split("\ndocs:")[1].split("\n\n")[0]
    assert "check-pages" in check
    assert "docs" in pages.split("$(MAKE)")[1]
    assert "sphinx-build" in docs
    assert "--fail-on-warning" in docs
