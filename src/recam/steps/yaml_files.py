"""Configuration files, read so that Snakemake, DVC and a person see the same numbers.

PyYAML (Snakemake) follows YAML 1.1, ruamel (DVC) YAML 1.2: `016` is 14 for one and 16 for the
other, `1:30` is 90 or text, `yes` is true or text, and of a key that occurs twice one takes the
last while the other refuses the file. Such values are refused here, with file and line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recam.core.errors import UserError

RUNS_CODE = ("__use_yte__", "__definitions__", "__variables__")  # Snakemake would evaluate the file
# Plain scalars that YAML 1.2's core schema reads as something else than text.
CORE = re.compile(
    r"""(?x) ~ | null | Null | NULL | true | True | TRUE | false | False | FALSE
    | [-+]?(0|[1-9][0-9]*) | [-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?
    | [-+]?\.(inf|Inf|INF) | \.(nan|NaN|NAN)"""
)
TEXT = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamsFile:
    """A configuration file."""

    path: Path
    values: dict[str, Any]
    lines: dict[tuple[str, ...], int]  # by key: ("train_cam", "epochs") -> line, counted from 1


def read_params(path: Path) -> ParamsFile:
    """Read a configuration file strictly.

    Raises UserError for a file that cannot be read, invalid YAML, a key that occurs twice, a value
    that YAML 1.1 and 1.2 read differently, and a file that would run code.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: expected text in UTF-8; save it so") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: invalid YAML: {error.problem}") from None
    if root is None:
        return ParamsFile(path=path, values={}, lines={})
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}: expected `name: value` lines, got another kind of YAML")
    lines: dict[tuple[str, ...], int] = {}
    for key, node in _keys(root, (), path):
        if key in lines:
            raise UserError(
                f"{path}:{_line(node)}: {'.'.join(key)} occurs twice (first in line {lines[key]}); "
                "remove one"
            )
        lines[key] = _line(node)
    return ParamsFile(path=path, values=yaml.safe_load(text), lines=lines)


def _keys(
    mapping: yaml.MappingNode, above: tuple[str, ...], path: Path
) -> Iterator[tuple[tuple[str, ...], yaml.Node]]:
    """Every key with its node; scalars are checked on the way."""
    for name, value in mapping.value:
        key = (*above, str(name.value))
        if name.value in RUNS_CODE:
            raise UserError(
                f"{path}:{_line(name)}: {name.value} would let this file run code; remove it"
            )
        _require_agreement(name, key, path)
        yield key, name
        if isinstance(value, yaml.MappingNode):
            yield from _keys(value, key, path)
        for scalar in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if isinstance(scalar, yaml.ScalarNode):
                _require_agreement(scalar, key, path)


def _require_agreement(scalar: yaml.Node, key: tuple[str, ...], path: Path) -> None:
    """Refuse a plain scalar that is a number or a truth value for only one of the two readers."""
    text = str(scalar.value)
    if not isinstance(scalar, yaml.ScalarNode) or scalar.style is not None:  # quoted: text for both
        return
    if (scalar.tag != TEXT) and not CORE.fullmatch(text):
        raise UserError(
            f"{path}:{_line(scalar)}: {'.'.join(key)}: {text} is read differently by Snakemake and "
            f"DVC; {_instead(text, scalar.tag)}"
        )


def _instead(text: str, tag: str) -> str:
    if tag.endswith(":bool"):
        return f"write true or false, or in quotes '{text}'"
    if tag.endswith((":int", ":float")):
        return "write a decimal number without leading zeros, colons or underscores"
    return f"write it in quotes: '{text}'"


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1
