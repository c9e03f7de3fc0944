"""pyproject.toml, constraints.txt and environment.yml agree."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
DIRECT = [Requirement(line) for line in [*PROJECT["dependencies"], *EXTRAS] if "recam" not in line]
EXACT = {
    canonicalize_name(name): version
    for name, version in re.findall(
        r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
}


@pytest.mark.parametrize("requirement", DIRECT, ids=lambda r: r.name)
def test_the_exact_version_lies_in_the_range(requirement):
    assert EXACT[canonicalize_name(requirement.name)] in requirement.specifier


def test_every_line_of_the_constraints_is_an_exact_public_version():
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert len(lines) == len(EXACT) > len(DIRECT)
    assert not [line for line in lines if "+" in line or "@" in line or "/" in line]


def test_conda_users_get_the_same_packages_under_the_same_constraints():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = next(
        d for d in environment["dependencies"] if isinstance(d, str) and d.startswith("python ")
    )
    assert SpecifierSet(python.removeprefix("python ")) == SpecifierSet(PROJECT["requires-python"])
    pip = next(d for d in environment["dependencies"] if isinstance(d, dict))["pip"]
    assert pip == ["--constraint constraints.txt", "--editable .[dev]"]


def test_the_table_of_packages_names_every_runtime_dependency():
    page = (ROOT / "docs/how_it_works.md").read_text().lower()
    table = page.split("## packages")[1].split("extras:")[0]
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *extras["workflow"], *extras["exchange"], *extras["smp"]]
    for line in lines:
        assert Requirement(line).name.lower() in table, line


def test_the_hooks_before_a_push_are_the_parts_of_make_check():
    (recipe,) = re.findall(r"^check: ([^#\n]+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    pushed = [hook["entry"] for hook in repo["hooks"] if "pre-push" in hook["stages"]]
    assert pushed == [f"make {part}" for part in recipe.split()]


def test_ci_runs_on_every_supported_python():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    versions = workflow["jobs"]["check-and-test"]["strategy"]["matrix"]["python"]
    supported = SpecifierSet(PROJECT["requires-python"])
    assert versions == [f"3.{n}" for n in range(30) if f"3.{n}.99" in supported]


def test_the_citation_is_of_this_version_and_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["references"][0]["url"].endswith("2203.00962")


def test_the_container_and_make_agree_on_the_argument_for_torch():
    arguments = re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    settings = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert set(settings["build"]["args"]) <= set(arguments)
    assert "ifdef TORCH" in (ROOT / "Makefile").read_text()
