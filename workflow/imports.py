"""Files of this project that a script imports, directly or indirectly.

Code is an input, but neither engine sees imports: a change to a library file must rerun the steps
that use it, and no others. Reading the imports keeps the inputs of the rules complete.
"""

import ast
from functools import cache
from pathlib import Path

LIBRARY = Path("src")


def imported_files(script: str) -> list[str]:
    """Sorted paths of the project's files that a script imports, without the script itself."""
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
    """Dotted names in import statements; ``from a import b`` gives ``a`` and ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _files(name: str, *, beside: Path) -> set[Path]:
    """Files of a module and of its parent packages, if they belong to the project."""
    parts = name.split(".")
    candidates = {beside / f"{name}.py"}
    for length in range(1, len(parts) + 1):
        path = LIBRARY.joinpath(*parts[:length])
        candidates |= {path.with_suffix(".py"), path / "__init__.py"}
    return {path for path in candidates if path.is_file()}
