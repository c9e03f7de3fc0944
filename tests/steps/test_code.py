"""Code by meaning: layout and comments are none, and every file that a script imports counts."""

import hashlib
import re
from pathlib import Path

import pytest
import torch

from recam.models.backbones import TimmBackbone
from recam.models.tokens import TokenBackbone
from recam.steps import code
from recam.steps.code import code_of, imported_files, meaning, write_code
from recam.steps.frozen import code_of_features

BACKBONE_OF = {"test_resnet": TimmBackbone, "test_vit": TokenBackbone}

BEFORE = '''"""A step."""
from recam.deep.maths import half

LIMITS = ["a", "b"]


def main(value: float) -> float:
    """Halve a value."""
    return half(value) + 1.0
'''
SAME = {
    "a comment": BEFORE + "\n# a comment\n",
    "another docstring": BEFORE.replace("Halve a value.", "Return half."),
    "no docstring of the module": BEFORE.replace('"""A step."""\n', ""),
    "other quotes and a comma": BEFORE.replace('["a", "b"]', "[\n    'a',\n    'b',\n]"),
    "parentheses": BEFORE.replace("half(value) + 1.0", "(half(value)) + (1.0)"),
    "Windows lines": BEFORE.replace("\n", "\r\n"),
}
OTHER = {
    "a number": BEFORE.replace("1.0", "2.0"),
    "the kind of a number": BEFORE.replace("1.0", "1"),
    "an order": BEFORE.replace('"a", "b"', '"b", "a"'),
    "a default": BEFORE.replace("value: float)", "value: float = 0.0)"),
    "a sign": BEFORE.replace("+ 1.0", "- 1.0"),
    "a string that is no docstring": BEFORE.replace('["a"', '["c"'),
    "a statement": BEFORE + "\nmain(1)\n",
}


def text_of(file: Path, text: str) -> str:
    """The meaning of a text, past the cache by path."""
    file.write_bytes(text.encode())
    code._facts.cache_clear()
    return meaning(file)


def hashes(tmp_path: Path, texts: dict[str, str]) -> dict[str, str]:
    return {
        name: text_of(tmp_path / f"{number}.py", text)
        for number, (name, text) in enumerate(texts.items())
    }


def test_layout_comments_and_docstrings_mean_nothing(tmp_path):
    before = text_of(tmp_path / "before.py", BEFORE)
    assert hashes(tmp_path, SAME) == dict.fromkeys(SAME, before)


def test_every_other_change_means_something(tmp_path):
    before = text_of(tmp_path / "before.py", BEFORE)
    found = hashes(tmp_path, OTHER)
    assert len({before, *found.values()}) == len(OTHER) + 1


def test_the_hash_is_the_same_on_every_version_of_python(tmp_path):
    """Computed once by hand from the tree of ``x = 1``: lock files are shared between versions."""
    told = "Module(body=[Assign(targets=[Name(id='x')],value=Constant(value=1))])"
    assert text_of(tmp_path / "x.py", "x = 1\n") == hashlib.sha256(told.encode()).hexdigest()


@pytest.fixture
def project(tmp_path):
    """A project of one script that imports a module, which imports another inside a function."""
    files = {
        "workflow/scripts/step.py": BEFORE + "\nfrom helper import run\n",
        "workflow/scripts/helper.py": "import alone, other.deep\nrun = print\n",
        "workflow/scripts/other.py": "import recam.unused\n",
        "src/alone.py": "",
        "src/recam/__init__.py": "if TYPE_CHECKING:\n    from recam.unused import x\n",
        "src/recam/deep/__init__.py": "",
        "src/recam/deep/maths.py": "def half(x):\n    from recam import two\n    return x / 2\n",
        "src/recam/two.py": "TWO = 2\n",
        "src/recam/unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_step_uses_every_file_that_it_imports_and_no_other(project):
    script = project / "workflow/scripts/step.py"
    found = [file.relative_to(project).as_posix() for file in imported_files(script)]
    assert found == [
        "src/alone.py",
        "src/recam/__init__.py",
        "src/recam/deep/__init__.py",
        "src/recam/deep/maths.py",
        "src/recam/two.py",
        "workflow/scripts/helper.py",
    ]
    listed = [line.split("  ")[1] for line in code_of(script).splitlines()]
    assert listed == sorted([*found, "workflow/scripts/step.py"])


def test_kept_facts_give_the_same_code(project, monkeypatch):
    monkeypatch.chdir(project)
    script = project / "workflow/scripts/step.py"
    parsed = write_code(script).read_text()
    for kept in (code.KEPT.read_text(), "{", '{"other version": {}}', "[]"):
        code.KEPT.write_text(kept)
        for cached in (code._facts, code._known, code._imported_by):
            cached.cache_clear()
        assert code_of(script) == parsed


def test_an_unchanged_list_is_not_written_again(project, monkeypatch):
    monkeypatch.chdir(project)
    script = project / "workflow/scripts/step.py"
    file = write_code(script)
    before = file.stat().st_mtime_ns, file.stat().st_ino
    assert write_code(script) == file
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == before


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_the_code_of_features_is_that_of_views_images_and_the_backbone(name):
    with torch.device("meta"):
        backbone = BACKBONE_OF[name](name, output_stride=16)
    files = {file.relative_to(code.INSTALLED).as_posix() for file in code_of_features(backbone)}
    needed = {"pipeline/frozen", "data/augmentation", "io/images", "models/backbones"}
    assert {f"recam/{file}.py" for file in needed} <= files
    assert ("recam/models/tokens.py" in files) == (name == "test_vit")
    assert "recam/models/light.py" not in files


def test_steps_import_by_statements_which_the_hash_of_their_code_sees():
    scripts = (code.INSTALLED.parent / "workflow/scripts").glob("*.py")
    files = {file for script in scripts for file in imported_files(script)}
    by_name = re.compile(r"\b(import_module|__import__|run_path|run_module)\(")
    found = {file.relative_to(code.INSTALLED) for file in files if by_name.search(file.read_text())}
    assert found == {Path("recam/__init__.py")}  # the interface for Python, which no step uses
