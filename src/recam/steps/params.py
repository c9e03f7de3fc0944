"""Check params.yaml against its schema, and say in one sentence what is wrong with it."""

import difflib
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from recam.core.errors import UserError

TRAINING = ("train_cam", "train_recam", "train_irn", "train_seg")


def check(params: Mapping[str, Any], schema: Mapping[str, Any], *, source: str) -> None:
    """Raise UserError for the first unknown, missing, mistyped or out-of-range key, by its name.

    And for batches that ``devices`` does not divide: a step that refuses its numbers comes too
    late, when what it made before is deleted.
    """
    validator = Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(params), key=lambda e: [str(p) for p in e.absolute_path])
    if errors:
        raise UserError(f"{source}: {_sentence(errors[0])}")
    _require_equal_shares(params, source=source)


def _require_equal_shares(params: Mapping[str, Any], *, source: str) -> None:
    devices = params["devices"]
    if devices == "auto":
        return  # how many there are is known where the step runs
    has_irn = "irn" in params["make_pseudo"]["refiner"]
    for section in TRAINING:
        size = params[section]["batch_size"]
        if size % devices and (has_irn or section != "train_irn"):
            raise UserError(
                f"{source}: {section}.batch_size: expected a multiple of the {devices} devices "
                f"that share a batch, got {size}; change it or devices"
            )


def _sentence(error: ValidationError) -> str:
    key = ".".join(str(part) for part in error.absolute_path)
    known = _rules(error).get("properties", {})
    place = f"{key}." if key else ""
    if error.validator == "additionalProperties":
        stray = next(name for name in _names(error.instance) if name not in known)
        near = difflib.get_close_matches(stray, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        return f"{place}{stray} is not a parameter; {hint}"
    if error.validator == "required":
        missing = next(n for n in _names(error.validator_value) if n not in _names(error.instance))
        what_to_do = "add it" if key else "add this section"
        meaning = known.get(missing, {}).get("description", what_to_do)
        return f"{place}{missing} is missing; {meaning}"
    hint = _nearest(error) or _as_number(error)
    return f"{key}: expected {_expected(error)}, got {error.instance!r}{hint}"


def _nearest(error: ValidationError) -> str:
    """For a mistyped name those that it may have meant."""
    near = (
        difflib.get_close_matches(str(error.instance), _names(error.validator_value))
        if error.validator == "enum"
        else []
    )
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _as_number(error: ValidationError) -> str:
    """For a number that YAML reads as text, such as 2e-2, how it is written there."""
    if error.validator != "type" or not isinstance(error.instance, str):
        return ""
    try:
        number = Decimal(error.instance)
    except InvalidOperation:
        return ""
    return f"; write {number:f}" if number.is_finite() else ""


def _expected(error: ValidationError) -> str:
    rule, value = error.validator, error.validator_value
    wording = {
        "type": f"a value of type {value}",
        "enum": f"one of {value}",
        "minimum": f"at least {value}",
        "maximum": f"at most {value}",
        "exclusiveMinimum": f"more than {value}",
        "exclusiveMaximum": f"less than {value}",
        "minItems": f"at least {value} values",
        "uniqueItems": "no value twice",
        "pattern": f"text that matches {value}",
    }
    description = _rules(error).get("description")
    return wording.get(str(rule), str(value)) + (f" ({description})" if description else "")


def _rules(error: ValidationError) -> Mapping[str, Any]:
    """The part of the schema that was broken; one that is only true or false names nothing."""
    return error.schema if isinstance(error.schema, Mapping) else {}


def _names(value: object) -> list[str]:
    """A mapping's keys or a list's items, as text."""
    return [str(name) for name in value] if isinstance(value, Iterable) else []
