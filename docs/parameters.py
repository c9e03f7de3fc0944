"""The reference of parameters, from workflow/schemas/params.schema.yaml and params.yaml."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "params.schema.yaml"
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}


def parameters_table() -> str:
    """A table for each section of params.yaml: name, meaning, values, default."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    defaults = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    entries = {name: _resolved(schema, entry) for name, entry in schema["properties"].items()}
    single = {name: entry for name, entry in entries.items() if "properties" not in entry}
    sections = {name: entry for name, entry in entries.items() if "properties" in entry}
    parts = ["## General\n", _section(schema, single, defaults)] if single else []
    for name, entry in sections.items():
        parts.append(f"## `{name}`\n")
        parts.append(_section(schema, entry["properties"], defaults.get(name, {})))
    return "\n".join(parts)


def _section(schema: dict, properties: dict, defaults: dict) -> str:
    lines = ["| parameter | meaning | values | default |", "| --- | --- | --- | --- |"]
    order = [name for name in defaults if name in properties]
    for name in [*order, *(name for name in properties if name not in order)]:
        entry = _resolved(schema, properties[name])
        meaning = " ".join(entry.get("description", "").split())
        default = f"`{_shown(defaults[name])}`" if name in defaults else "not set"
        cells = [f"`{name}`", meaning, _values(schema, entry), default]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _resolved(schema: dict, entry: dict) -> dict:
    """The entry with what its reference points to, its own words first."""
    if "$ref" not in entry:
        return entry
    target = schema
    for key in entry["$ref"].removeprefix("#/").split("/"):
        target = target[key]
    return _resolved(schema, target) | {k: v for k, v in entry.items() if k != "$ref"}


def _values(schema: dict, raw: dict) -> str:
    entry = _resolved(schema, raw)
    if choices := entry.get("anyOf"):
        given = [choice for choice in choices if choice.get("type") != "null"]  # null: left out
        return " or ".join(_values(schema, choice) for choice in given)
    if "enum" in entry or "const" in entry:
        return ", ".join(f"`{_shown(v)}`" for v in entry.get("enum", [entry.get("const")]))
    kinds = entry.get("type", "any")
    words = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    if kinds == "array":
        return f"list of {_values(schema, entry['items'])}"
    bounds = [text.format(_shown(entry[key])) for key, text in BOUNDS.items() if key in entry]
    bounds += [f"`{entry['pattern']}`"] if "pattern" in entry else []
    return ", ".join([words, *bounds])


def _shown(value: object) -> str:
    flow = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return flow.removesuffix("\n").removesuffix("\n...").strip()
