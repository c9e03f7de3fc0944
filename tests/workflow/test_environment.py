"""pyproject.toml, constraints.txt and environment.yml agree."""

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
