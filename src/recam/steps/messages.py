"""Validation errors of sections as one sentence: the key, expected, got, what to do."""

import difflib
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "a section",
    "model_attributes_type": "a section",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "greater_than": "more than {gt:g}",
    "less_than": "less than {lt:g}",
    "too_short": "at least {min_length} value",
    "literal_error": "{expected}",
    "expected": "{expected}",
}


def first_sentence(error: ValidationError, model: type[BaseModel]) -> tuple[tuple[str, ...], str]:
    """The key, as a tuple, of the first error in alphabetical order, and its sentence."""
    # A misspelt name is unknown here and missing there: the unknown one comes first.
    by_place = [
        (e["type"] == "missing", [str(part) for part in e["loc"]], e) for e in error.errors()
    ]
    errors = [e for *_, e in sorted(by_place, key=lambda place: place[:2])]
    # A list whose only item is refused also counts as too short: the item is the error.
    details = errors[1] if errors[0]["type"] == "too_short" and len(errors) > 1 else errors[0]
    key = tuple(str(part) for part in details["loc"])
    if details["type"] == "sentence":  # a check of several numbers, which names them itself
        words = str(details.get("ctx", {})["words"])
        prefix = ".".join(key)
        own = words.split(":", maxsplit=1)[0].split(" ", maxsplit=1)[0]
        return (*key, *own.split(".")), f"{prefix}.{words}" if prefix else words
    name = ".".join(key)
    if details["type"] in ("extra_forbidden", "invalid_key"):
        return key, f"{name} is not a parameter; {_known(key, model)}"
    field = field_of(key, model)
    meaning = field.description if field else None
    if details["type"] == "missing":
        return key, f"{name} is missing; {meaning or 'add this section'}"
    return key, f"{name}: {expectation(details, meaning)}"


def expectation(details: ErrorDetails, meaning: str | None) -> str:
    """`expected ... (meaning), got ...; hint` of one error."""
    context: Mapping[str, Any] = details.get("ctx", {})
    template = EXPECTED.get(details["type"])
    expected = template.format(**context) if template else (meaning or details["msg"])
    in_brackets = f" ({meaning})" if meaning and template else ""
    hint = context.get("hint", "") or _written(details)
    return f"expected {expected}{in_brackets}, got {details['input']!r}{hint}"


def field_of(key: Iterable[str], model: type[BaseModel]) -> FieldInfo | None:
    """The field of a dotted key; items of a list belong to their list."""
    field = None
    current: type[BaseModel] | None = model
    for part in key:
        if current is None or part not in current.model_fields:
            return field
        field = current.model_fields[part]
        current = section_of(field)
    return field


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a section."""
    annotation: Any = field.annotation
    is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_section else None


def _known(key: tuple[str, ...], model: type[BaseModel]) -> str:
    *section, stray = key
    field = field_of(section, model) if section else None
    owner = section_of(field) if field else model
    names = list(owner.model_fields) if owner else []
    near = difflib.get_close_matches(stray, names, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"


def _written(details: ErrorDetails) -> str:
    """The spelling of a number that YAML reads as text, such as 2e-2, or as a fraction, 2.0."""
    value = details["input"]
    if details["type"] not in ("int_type", "float_type", "int_from_float"):
        return ""
    if isinstance(value, float) and value.is_integer():
        return f"; write {value:.0f}"
    if not isinstance(value, str):
        return ""
    try:
        number = Decimal(value)
    except InvalidOperation:
        return ""
    fits = number.is_finite() and (details["type"] == "float_type" or number == int(number))
    return f"; write {number:f}" if fits else ""
