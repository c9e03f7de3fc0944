"""Files generated from the sections of params.yaml.

preset FILE   writes the numbers of an overlay, such as presets/voc12.yaml, into params.yaml
schema        writes workflow/schemas/params.schema.yaml, for editors
check         fails if the schema does not match the sections
"""

import io
import sys
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from recam.core.errors import UserError
from recam.io.atomic import write_text
from recam.steps.params import Experiment, check, merged
from recam.steps.yaml_files import read_params

PARAMS = Path("params.yaml")
SCHEMA = Path("workflow/schemas/params.schema.yaml")
HEADER = (
    "# Written from src/recam/steps/sections/ by `make schema`: change those files, not this one.\n"
)


def write_preset(overlay: Path) -> str:
    """Write the numbers of ``overlay`` into params.yaml and keep its comments.

    Raises UserError for an invalid overlay and leaves params.yaml unchanged.
    """
    files = [read_params(PARAMS), read_params(overlay)]
    check(merged(files[0].values, files[1].values), files)
    editor = YAML()  # round trip: keeps comments and the form of lists
    editor.width = 120
    editor.preserve_quotes = True
    editor.indent(mapping=2, sequence=4, offset=2)
    params = editor.load(PARAMS.read_text(encoding="utf-8"))
    _update(params, editor.load(overlay.read_text(encoding="utf-8")))
    text = io.StringIO()
    editor.dump(params, text)
    write_text(PARAMS, text.getvalue())
    return f"params.yaml has the numbers of {overlay}; run `make dvc.yaml` before `dvc repro`"


def _update(params: Any, overlay: Any) -> None:
    for name, value in overlay.items():
        if isinstance(value, dict) and name in params:
            _update(params[name], value)
        elif name in params:
            params[name] = value
        else:  # before the last name, which carries the blank line below the section
            params.insert(max(len(params) - 1, 0), name, value)


def schema_text() -> str:
    """The JSON schema of params.yaml: sections in place, no references."""
    schema = Experiment.model_json_schema()
    definitions = schema.pop("$defs")
    schema = _inlined(schema, definitions)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return HEADER + yaml.safe_dump(schema, sort_keys=False, allow_unicode=True, width=120)


def _inlined(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_inlined(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _inlined(definitions[value["$ref"].rsplit("/", 1)[1]], definitions)
    titled = isinstance(value.get("title"), str)  # pydantic's titles repeat the names
    return {k: _inlined(v, definitions) for k, v in value.items() if k != "title" or not titled}


def main(arguments: list[str]) -> str:
    """Run the verb and return a one-sentence summary."""
    match arguments:
        case ["preset", file]:
            return write_preset(Path(file))
        case ["schema"]:
            write_text(SCHEMA, schema_text())
            return f"{SCHEMA} written."
        case ["check"] if SCHEMA.read_text(encoding="utf-8") == schema_text():
            return f"{SCHEMA} matches the sections."
        case ["check"]:
            raise UserError(f"{SCHEMA} does not match the sections; run `make schema`")
        case _:
            raise UserError(__doc__ or "")


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(str(error))
