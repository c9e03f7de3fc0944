"""The code of a step by meaning: a change of comments, docstrings or layout is none.

Neither engine sees imports. A file of hashes is an input of each step instead: the step runs again
after a change to a file that it imports, and after no other. Unfinished work is kept by it, too.
"""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import recam
from recam.io.atomic import write_text

INSTALLED = Path(recam.__file__).resolve().parents[1]  # the folder of the package that runs: src
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
KEPT = Path("logs/code/.facts.json")  # relative to the project, as all outputs
UNSAID = ("ctx", "kind", "type_comment")  # fields of a syntax tree that repeat what others say


def code_of(script: Path) -> str:
    """One line ``hash  path`` for a step's script and each of its project's files that it imports.

    Paths are relative to the project. A script outside of a project, such as a test, counts as one
    that imports the whole library.
    """
    script = script.resolve()
    library = _library_of(script)
    files = {script, *imported_files(script)} if library else set(INSTALLED.rglob("*.py"))
    root = (library or INSTALLED).parent
    named = {file.relative_to(root).as_posix(): meaning(file) for file in files}
    return "".join(f"{named[name]}  {name}\n" for name in sorted(named))


def code_file(step: str) -> Path:
    """The file, an input of a step in both engines, that has ``code_of`` its script."""
    return Path("logs/code", f"{step}.txt")


def write_code(script: Path) -> Path:
    """Write ``code_of`` a script into its ``code_file``, unless it is there; return the file."""
    file, text = code_file(script.stem), code_of(script)
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        write_text(file, text)
    kept = json.dumps({_version(): _known()})
    if not KEPT.is_file() or KEPT.read_text(encoding="utf-8") != kept:
        write_text(KEPT, kept)
    return file


def imported_files(script: Path) -> list[Path]:
    """The project's files that a step's script imports, directly or indirectly, sorted."""
    library = _library_of(script) or INSTALLED
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        new = _imported_by(waiting.pop(), library) - found
        found |= new
        waiting += new
    return sorted(found - {script})


def _library_of(script: Path) -> Path | None:
    """The folder src of the project whose workflow/scripts holds a script."""
    if script.parts[-3:-1] != ("workflow", "scripts") or not script.is_file():
        return None
    return script.parents[2] / "src"


def meaning(file: Path) -> str:
    """SHA-256 of a Python file's syntax tree without docstrings; the same on Python 3.11 to 3.13.

    Raises SyntaxError.
    """
    return _facts(file).meaning


class Facts(NamedTuple):
    """A file's meaning, and the names that it imports."""

    meaning: str
    names: list[str]


@cache
def _facts(file: Path) -> Facts:
    content = file.read_bytes()
    key = hashlib.sha256(content).hexdigest()
    if key not in _known():
        tree = ast.parse(content, filename=str(file))
        digest = hashlib.sha256(_told(tree).encode()).hexdigest()
        _known()[key] = Facts(digest, sorted(_names(tree)))
    return _known()[key]


@cache
def _known() -> dict[str, Facts]:
    """Facts by the checksum of a file's bytes, as the engines have kept them; else none.

    Parsing all files takes a second, which every step would spend.
    """
    try:
        kept = json.loads(KEPT.read_text(encoding="utf-8"))
        return {key: Facts(*facts) for key, facts in kept[_version()].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # it is made anew
        return {}


def _version() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _told(node: object) -> str:
    """A part of a syntax tree as text. `ast.dump` would differ between versions of Python."""
    if isinstance(node, list):
        return f"[{','.join(map(_told, node))}]"  # pyright: ignore[reportUnknownArgumentType]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if name not in UNSAID]
    if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        fields = [(name, value[1:] if name == "body" else value) for name, value in fields]
    told = [f"{name}={_told(value)}" for name, value in fields if value is not None and value != []]
    return f"{type(node).__name__}({','.join(told)})"


@cache
def _imported_by(file: Path, library: Path) -> frozenset[Path]:
    names = _facts(file).names
    return frozenset(f for name in names for f in _files(name, library, beside=file.parent))


def _names(tree: ast.Module) -> set[str]:
    """Dotted names in import statements; ``from a import b`` gives ``a`` and ``a.b``.

    Imports for type checkers alone run nothing and are left out.
    """
    names: set[str] = set()
    unread = {inner for node in ast.walk(tree) if _is_for_types(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if node in unread:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _is_for_types(node: ast.AST) -> bool:
    """Whether a node is ``if TYPE_CHECKING:`` without an else."""
    test = node.test if isinstance(node, ast.If) and not node.orelse else None
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _files(name: str, library: Path, *, beside: Path) -> set[Path]:
    """Files of a module and of its parent packages, if they belong to the project."""
    top, _, rest = name.partition(".")
    found = set(_of_library(name, library)) if _has(library, top) else set[Path]()
    if not rest and (script := beside / f"{name}.py").is_file():
        found.add(script)
    return found


@cache
def _has(library: Path, name: str) -> bool:
    return (library / name).is_dir() or (library / f"{name}.py").is_file()


@cache
def _of_library(name: str, library: Path) -> frozenset[Path]:
    """The same of a name whose first part is a package of the library."""
    parent = name.rpartition(".")[0]
    path = library.joinpath(*name.split("."))
    own = {file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()}
    return frozenset(own | (_of_library(parent, library) if parent else set()))
