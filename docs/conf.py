"""Sphinx builds the pages of this folder, and an API reference with one page for each room.

Everything comes from the checkout and the environment: the build needs no network.
"""

import ast
import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "recam"
REFERENCE = Path(__file__).parent / "reference"
sys.path.insert(0, str(PACKAGE.parent))

project = "ReCAM"
author = "The ReCAM reproducible experiment authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks hold their outputs; tests run them
nb_merge_streams = True

highlight_language = "text"

html_theme = "furo"
html_title = "ReCAM"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_copyright = False
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88


def write_reference() -> None:
    """Write a page for each room of the package; modules outside rooms join the commands."""
    rooms = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
    pages = {room.name: sorted(room.glob("[!_]*.py")) for room in rooms}
    pages["commands"] += sorted(PACKAGE.glob("[!_]*.py"))
    REFERENCE.mkdir(exist_ok=True)
    for old in REFERENCE.glob("*.rst"):
        old.unlink()
    for name, modules in pages.items():
        (REFERENCE / f"{name}.rst").write_text(_page(name, modules), encoding="utf-8")
    names = "\n".join(f"   {name}" for name in pages)
    text = f"{_title('API reference')}\nOne page for each room of ``src/recam``.\n\n"
    text += f".. toctree::\n   :maxdepth: 1\n\n{names}\n"
    (REFERENCE / "index.rst").write_text(text, encoding="utf-8")


def _page(name: str, modules: list[Path]) -> str:
    room = PACKAGE / name / "__init__.py"
    about = ast.get_docstring(ast.parse(room.read_text(encoding="utf-8"))) if room.is_file() else ""
    parts = [_title(name), about or ""]
    for module in modules:
        dotted = ".".join(module.relative_to(PACKAGE.parent).with_suffix("").parts)
        parts.append(f"{_title(dotted, '-')}\n.. automodule:: {dotted}\n   :members:\n")
    return "\n\n".join(parts)


def _title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"


def escape_docstring(*event: Any) -> None:
    """Docstrings are plain text with ``code``: formulas such as |a - b| are no markup."""
    lines: list[str] = event[-1]
    for number, line in enumerate(lines):
        parts = re.split(r"(``[^`]*``)", line)
        parts[::2] = [re.sub(r"([|*]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
        lines[number] = "".join(parts)


def setup(app: Sphinx) -> None:
    """Write the reference before Sphinx looks for pages."""
    write_reference()
    app.connect("autodoc-process-docstring", escape_docstring)
