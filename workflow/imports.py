"""Which files of this project a script imports, directly or through others.

Neither engine sees imports, yet code is an input: a change to a library file must rerun the steps
that use it, and no others. Reading the imports keeps the rules' inputs true without a list.
"""

import ast
from functools import cache
from pathlib import Path

LIBRARY = Path("src")


def imported_files(script: str) -> list[str]:
    """The project's own files that a script needs, itself not among them, sorted, as paths."""
    found: set[Path] = set()
    waiting = [Path(script)]
    while waiting:
        new = _imported_by(waiting.pop()) - found
        found |= new
        waiting += new
    return sorted(path.as_posix() for path in found - {Path(script)})


@cache
def _imported_by(file: Path) -> frozenset[Path]:
    return frozenset(f for name in _names(file) for f in _files(name, beside=file.parent))


def _names(file: Path) -> set[str]:
    """Dotted names in import statements, with what is taken from a module as a further part."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _files(name: str, *, beside: Path) -> set[Path]:
    """The module's file and those of the packages around it, where they are the project's own."""
    parts = name.split(".")
    candidates = {beside / f"{name}.py"}
    for length in range(1, len(parts) + 1):
        path = LIBRARY.joinpath(*parts[:length])
        candidates |= {path.with_suffix(".py"), path / "__init__.py"}
    return {path for path in candidates if path.is_file()}
