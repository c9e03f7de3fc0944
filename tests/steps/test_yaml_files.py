"""Files that Snakemake and DVC would read differently are refused, with their line."""

import pytest
import yaml

from recam.core.errors import UserError
from recam.steps.yaml_files import read_params


@pytest.fixture
def file(tmp_path):
    return tmp_path / "params.yaml"


def refusal(file, text):
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        read_params(file)
    return str(caught.value).removeprefix(str(file))


def test_values_and_lines_are_those_of_the_file(file):
    file.write_text("# a comment\na:\n  x: 1.0e-4\n  y: [1, 2.5]\nb: 'text'\n")
    read = read_params(file)
    assert read.values == {"a": {"x": 1e-4, "y": [1, 2.5]}, "b": "text"}
    assert read.lines == {("a",): 2, ("a", "x"): 3, ("a", "y"): 4, ("b",): 5}


@pytest.mark.parametrize(
    "value",
    ["016", "0o17", "0x10", "0b11", "1:30", "1_000", "yes", "No", "on", "OFF", "2026-01-01"],
)
def test_a_value_that_the_two_readers_read_differently_is_refused(file, value):
    for key, text in (("a.x", f"a:\n  x: {value}\n"), ("a.x.1", f"a:\n  x: [1, {value}]\n")):
        words = refusal(file, text)
        assert words.startswith(
            f":2: {key}: {value} is read differently by Snakemake and DVC; write"
        )


@pytest.mark.parametrize(
    "value", ["1", "-2", "0", "0.5", "1.5e+3", ".5", "true", "False", "null", "~", "text"]
)
def test_a_value_that_both_read_alike_passes(file, value):
    file.write_text(f"x: {value}\n")
    assert read_params(file).values == yaml.safe_load(f"x: {value}")


def test_quotes_make_text_of_anything(file):
    file.write_text("x: 'yes'\n")
    assert read_params(file).values == {"x": "yes"}


def test_a_key_that_occurs_twice_is_refused_with_both_lines(file):
    text = "a:\n  lr: 1\n  b: 2\n  lr: 3\n"
    assert refusal(file, text) == ":4: a.lr occurs twice (first in line 2); remove one"


@pytest.mark.parametrize("name", ["__use_yte__", "__definitions__", "__variables__"])
def test_a_file_that_would_run_code_is_refused(file, name):
    assert refusal(file, f"a: 1\n{name}: true\n") == (
        f":2: {name} would let this file run code; remove it"
    )


def test_invalid_yaml_is_refused_with_its_line(file):
    assert refusal(file, "a: 1\nb: [1\nc: 2\n").startswith(":3: invalid YAML: ")


def test_a_list_at_the_top_is_refused(file):
    assert refusal(file, "- 1\n") == ": expected `name: value` lines, got another kind of YAML"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.yaml: cannot be read: No such file"):
        read_params(tmp_path / "nowhere.yaml")


def test_an_empty_file_has_no_values(file):
    file.write_text("# nothing\n")
    assert read_params(file).values == {}


@pytest.mark.parametrize(
    ("value", "number"), [("1e-3", "0.001"), ("2e3", "2000"), ("+.5", "0.5"), ("0o17", "15")]
)
def test_a_number_for_dvc_alone_is_refused_with_its_spelling(file, value, number):
    assert refusal(file, f"lr: {value}\n") == (
        f":1: lr: {value} is read differently by Snakemake and DVC; write {number}, or in quotes "
        f"'{value}'"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x 1\nb: *x\n", ":2: expected values, got the alias *x; write the values"),
        ("a: &x [*x]\n", ":1: expected values, got the alias *x; write the values"),
        ("a: " + 100 * "[", ":1: expected sections of numbers, got deep nesting"),
        ("? [1]\n: 2\n", ":1: expected a name before the colon; write one"),
        ("a: 1\n?b: 2\n", ":2: ?b would let this file run code; remove it"),
        ("a: \x00\n", ": invalid YAML: character 4 is not printable; remove it"),
        ("a: [{b: 1, b: 2}]\n", ":1: a.0.b occurs twice (first in line 1); remove one"),
        ("a: [[016]]\n", ":1: a.0.0: 016 is read differently by Snakemake and DVC"),
        ("a: 1\n---\na: 2\n", ":2: invalid YAML: expected a single document in the stream"),
        ("a:\n\tb: 1\n", ":2: invalid YAML: while scanning for the next token, found character"),
        (
            "a: !!python/object/apply:os.system [x]\n",
            ":1: invalid YAML: could not determine a constructor",
        ),
        ("a: !!int x\n", ":1: a: x is read differently by Snakemake and DVC"),
        ("a: " + 5000 * "9", ": invalid YAML: Exceeds the limit"),
    ],
)
def test_whatever_is_no_plain_table_of_numbers_is_one_sentence(file, text, words):
    assert refusal(file, text).startswith(words)
