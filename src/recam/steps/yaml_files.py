"""Configuration files, read so that Snakemake, DVC and a person see the same numbers.

PyYAML (Snakemake) follows YAML 1.1, ruamel (DVC) YAML 1.2: `016` is 14 for one and 16 for the
other, `1:30` is 90 or text, `yes` is true or text, and of a key that occurs twice one takes the
last while the other refuses the file. Such values are refused here, with file and line.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from recam.core.errors import UserError

RUNS_CODE = ("__use_yte__", "__definitions__", "__variables__")  # Snakemake would evaluate the file
# Plain scalars that YAML 1.2's core schema reads as something else than text.
CORE = re.compile(
    r"""(?x) ~ | null | Null | NULL | true | True | TRUE | false | False | FALSE
    | [-+]?(0|[1-9][0-9]*) | [-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?
    | [-+]?[0-9]+[eE][-+]?[0-9]+ | 0o[0-7]+ | [-+]?\.(inf|Inf|INF) | \.(nan|NaN|NAN)"""
)
CODE_SIGN = "?"  # before a key whose value yte would evaluate
BREAKS_OF_YAML_11 = re.compile("[\x85\u2028\u2029]")
LONGEST = 24  # digits that a message shows
DEEPEST = 16  # nested lists and sections
TEXT = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamsFile:
    """A configuration file."""

    path: Path
    values: dict[str, Any]
    lines: dict[tuple[str, ...], int]  # by key: ("train_cam", "epochs") -> line, counted from 1


def read_params(path: Path) -> ParamsFile:
    """Read a configuration file strictly.

    Raises UserError for a file that cannot be read, invalid YAML, an alias, a key that occurs
    twice, a value that YAML 1.1 and 1.2 read differently, and a file that would run code.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: expected text in UTF-8; save it so") from None
    with _one_sentence(path):
        _refuse_breaks(text, path)
        _refuse_aliases(text, path)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            return ParamsFile(path=path, values={}, lines={})
        if not isinstance(root, yaml.MappingNode):
            raise UserError(f"{path}: expected `name: value` lines, got another kind of YAML")
        lines: dict[tuple[str, ...], int] = {}
        for key, node in _keys(root, (), path):
            if key in lines:
                raise UserError(
                    f"{path}:{_line(node)}: {'.'.join(key)} occurs twice (first in line "
                    f"{lines[key]}); remove one"
                )
            lines[key] = _line(node)
        return ParamsFile(path=path, values=yaml.safe_load(text), lines=lines)


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Raise UserError for every way in which PyYAML refuses a file."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise UserError(f"{path}{line}: invalid YAML: {reason}; correct it") from None
    except yaml.reader.ReaderError as error:
        raise UserError(
            f"{path}: invalid YAML: character {error.position + 1} is not printable; remove it"
        ) from None
    except ValueError as error:  # of a value that does not fit its tag
        raise UserError(f"{path}: invalid YAML: {error}; correct it") from None


def _refuse_breaks(text: str, path: Path) -> None:
    """Refuse characters that end a line in YAML 1.1 only."""
    if found := BREAKS_OF_YAML_11.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise UserError(
            f"{path}:{line}: expected plain line ends, got U+{ord(found[0]):04X}, which YAML 1.1 "
            "and 1.2 read differently; delete it"
        )


def _refuse_aliases(text: str, path: Path) -> None:
    """Refuse aliases and deep nesting: a short file can stand for millions of values."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise UserError(
                f"{path}:{line}: expected values, got the alias *{event.anchor}; write the values"
            )
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise UserError(f"{path}:{line}: expected sections of numbers, got deep nesting")


def _keys(
    node: yaml.Node, above: tuple[str, ...], path: Path
) -> Iterator[tuple[tuple[str, ...], yaml.Node]]:
    """Every key with its node; scalars are checked on the way."""
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _keys(item, (*above, str(number)), path)
        return
    if not isinstance(node, yaml.MappingNode):
        _require_agreement(node, above, path)
        return
    for name, value in node.value:
        if not isinstance(name, yaml.ScalarNode):
            raise UserError(f"{path}:{_line(name)}: expected a name before the colon; write one")
        key = (*above, str(name.value))
        if name.value in RUNS_CODE or str(name.value).startswith(CODE_SIGN):
            raise UserError(
                f"{path}:{_line(name)}: {name.value} would let this file run code; remove it"
            )
        _require_agreement(name, key, path)
        yield key, name
        yield from _keys(value, key, path)


def _require_agreement(scalar: yaml.Node, key: tuple[str, ...], path: Path) -> None:
    """Refuse a plain scalar that is a number or a truth value for only one of the two readers."""
    text = str(scalar.value)
    if not isinstance(scalar, yaml.ScalarNode) or scalar.style is not None:  # quoted: text for both
        return
    is_text_for_dvc = not CORE.fullmatch(text)
    if (scalar.tag == TEXT) != is_text_for_dvc:
        raise UserError(
            f"{path}:{_line(scalar)}: {'.'.join(key)}: {text} is read differently by Snakemake and "
            f"DVC; {_instead(text, scalar.tag)}"
        )


def _instead(text: str, tag: str) -> str:
    if tag.endswith(":bool"):
        return f"write true or false, or in quotes '{text}'"
    if tag == TEXT:  # a number such as 1e-3 for DVC alone
        number = str(int(text, 8)) if text.startswith("0o") else f"{Decimal(text):f}"
        return f"write {number}, or in quotes '{text}'" if len(number) <= LONGEST else "shorten it"
    if tag.endswith((":int", ":float")):
        return "write a decimal number without leading zeros, colons or underscores"
    return f"write it in quotes: '{text}'"


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1
