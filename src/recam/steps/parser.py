"""The command line of a step, from the types of its main function's parameters.

``main(paths: Paths, numbers: TrainSeg, machine: Machine)`` has an option for every path and for
every number of the two sections, with the types, ranges and help of params.yaml.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from recam.core.errors import UserError
from recam.steps.messages import expectation, first_sentence
from recam.steps.paths import Optional, Out, declared_paths

LONGEST = 200  # characters of a message of argparse, which may list every option


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The arguments of a step's main function, by the names of its parameters."""

    groups: dict[str, Any]
    outputs: list[Path]
    log: Path | None

    def numbers(self) -> dict[str, Any]:
        """All numbers by name."""
        models = [group for group in self.groups.values() if isinstance(group, BaseModel)]
        return {name: value for model in models for name, value in model}


def parse(main: Callable[..., None]) -> Arguments:
    """Read the command line of ``main``.

    Raises UserError for a wrong one, and where numbers contradict each other.
    """
    kinds = {name: kind for name, kind in get_type_hints(main).items() if name != "return"}
    description = sys.modules[main.__module__].__doc__
    parser = _Parser(description=description, allow_abbrev=False)
    parser.add_argument("--log", type=Path, help="file that also receives the messages")
    seen: set[str] = set()  # train_cam has threads of its own, which are the machine's there
    outputs: list[str] = []
    for kind in kinds.values():
        if issubclass(kind, BaseModel):
            _add_numbers(parser, kind, seen)
        else:
            outputs += _add_paths(parser, kind)
    args = vars(parser.parse_args())
    # A shard writes its stamp only.
    written = [args["shard"]] if args.get("shard") else [args[name] for name in outputs]
    return Arguments(
        groups={name: _filled(kind, args) for name, kind in kinds.items()},
        outputs=[path for one in written for path in (one if isinstance(one, list) else [one])],
        log=args["log"],
    )


class _Parser(argparse.ArgumentParser):
    """A wrong command line is one sentence, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        shown = message if len(message) <= LONGEST else f"{message[:LONGEST]} ..."
        raise UserError(f"{shown}; --help lists all options")


def _add_paths(parser: argparse.ArgumentParser, paths: type[Any]) -> list[str]:
    """Add an option for every path; return the names of outputs."""
    declared = list(declared_paths(paths))
    for name, mark in declared:
        required = not isinstance(mark, Optional)
        parser.add_argument(
            f"--{name}", type=Path, nargs=mark.nargs, required=required, help=mark.help
        )
    return [name for name, mark in declared if isinstance(mark, Out)]


def _add_numbers(parser: argparse.ArgumentParser, section: type[BaseModel], seen: set[str]) -> None:
    group = parser.add_argument_group(f"{section.__name__}: {section.__doc__}")
    for name, field in section.model_fields.items():
        if name in seen:
            continue
        seen.add(name)
        text = (field.description or "").replace("%", "%%")
        if field.annotation is bool:  # absent is false, as DVC and the Snakefile print it
            group.add_argument(f"--{name}", action="store_true", help=text)
            continue
        is_list = get_origin(field.annotation) is tuple
        group.add_argument(
            f"--{name}",
            type=_converter(field),
            nargs="+" if is_list else None,
            required=field.is_required(),
            help=text,
        )


def _converter(field: FieldInfo) -> Callable[[str], object]:
    """From the text of one value to the value, checked as in params.yaml."""
    item: Any = field.annotation
    if get_origin(item) is tuple:
        item = get_args(item)[0]
    elif field.metadata:
        item = Annotated[item, *field.metadata]
    adapter: TypeAdapter[object] = TypeAdapter(item)

    def convert(text: str) -> object:
        try:
            return adapter.validate_strings(text)
        except ValidationError as error:
            words = expectation(error.errors()[0], field.description)
            raise argparse.ArgumentTypeError(words) from None

    return convert


def _filled(kind: type[Any], args: dict[str, Any]) -> object:
    if not issubclass(kind, BaseModel):
        return kind(**{name: args[name] for name, _ in declared_paths(kind)})
    try:
        return kind.model_validate({name: args[name] for name in kind.model_fields})
    except ValidationError as error:
        raise UserError(first_sentence(error, kind)[1]) from None
