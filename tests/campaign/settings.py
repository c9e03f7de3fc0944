"""params.yaml as hands and tools change it."""

import re
from collections.abc import Callable
from pathlib import Path

from project import ROOT
from trial import Scene, Trial

VALUES = (
    *(
        "016",
        "010",
        "1e3",
        "1e-3",
        "1E5",
        "1_000",
        "0x10",
        "0o17",
        "0b1",
        "1:30",
        "yes",
        "no",
        "on",
    ),
    *("off", "Yes", "~", "null", "NULL", "", "nan", ".nan", ".NaN", ".inf", "-.inf", "inf", "-1"),
    *("0", "0.0", "-0.0", "1", "2.0", "1.5", "1e400", "99999999999999999999", "1e-400", "'1'"),
    *('"1"', '"cpu\\n"', "true", "True", "TRUE", "false", "[]", "[1]", "[1, 1]", "[1, [2]]"),
    *("{}", "{a: 1}", "!!python/object/apply:os.getcwd []", "!!int '3'", "!!float 3", "!!str 3"),
    *("&a 1", "*a", "2026-01-01", "12e03", "1.", "+.5", ".5", "+1", "1,5", "50%", "16 px", "é"),
    *(
        "text",
        "cpu",
        "auto",
        "'auto '",
        "none",
        "|\n    1",
        ">\n    text",
        "@x",
        "`x`",
        "%x",
        "a: b",
    ),
    *("7", "3", "64", "1024", "0.333", "16.0", "1e1", "1.0e+1", "0.1.2", "--", "-", "...", "#"),
    *(
        "__import__('os')",
        "${machine.threads}",
        "{seed}",
        "$HOME",
        "=1",
        "<<",
        "\u0661",
        "\u00bd",
        "\t1",
    ),
)


LINE = re.compile(r"^  (\w+): (.*)$", re.MULTILINE)


def params(scene: Scene) -> Trial:
    """A params.yaml with one mutation: refused, or read alike by every reader."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    about, mutate = scene.random.choice(list(OF_PARAMS.items()))
    content, accepted = mutate(scene, text)
    (scene.folder / "params.yaml").write_bytes(content)

    def right(folder: Path, output: str) -> str:
        found = [line for line in output.splitlines() if line.startswith("DIFFERENT: ")]
        return found[0] if found else ""

    return Trial(
        about=f"params.yaml: {about}",
        program="params",
        words=("params.yaml",),
        names=("params.yaml",),
        right=right,
        accepted=accepted,
    )


Mutated = tuple[bytes, bool | None]


Change = Callable[[Scene, str], Mutated]


def _value(scene: Scene, text: str) -> Mutated:
    """Another value of one number."""
    lines = list(LINE.finditer(text))
    found = scene.random.choice(lines)
    value = scene.random.choice(VALUES)
    return f"{text[: found.start(2)]}{value}{text[found.end(2) :]}".encode(), None


def _item(scene: Scene, text: str) -> Mutated:
    """Another value in a list."""
    lists = [m for m in re.finditer(r"\[([^\]]+)\]", text) if "#" not in m.group()]
    found = scene.random.choice(lists)
    items = found.group(1).split(", ")
    items[scene.random.randrange(len(items))] = scene.random.choice(VALUES)
    return f"{text[: found.start(1)]}{', '.join(items)}{text[found.end(1) :]}".encode(), None


def _lines(change: Callable[[Scene, list[str], int], bool | None]) -> Change:
    """Change the lines of the file at a random one that holds a number."""

    def mutate(scene: Scene, text: str) -> Mutated:
        lines = text.splitlines()
        places = [k for k, line in enumerate(lines) if LINE.match(line)]
        accepted = change(scene, lines, scene.random.choice(places))
        return ("\n".join(lines) + "\n").encode(), accepted

    return mutate


def _deleted(scene: Scene, lines: list[str], place: int) -> bool | None:
    del lines[place]
    return None


def _twice(scene: Scene, lines: list[str], place: int) -> bool | None:
    lines.insert(place + scene.random.choice([0, 1]), lines[place])
    return False


def _misspelt(scene: Scene, lines: list[str], place: int) -> bool | None:
    name = lines[place].strip().partition(":")[0]
    k = scene.random.randrange(len(name))
    letter = scene.random.choice([letter for letter in "xz" if letter != name[k]])
    lines[place] = lines[place].replace(name, name[:k] + letter + name[k + 1 :], 1)
    return False


def _indented(scene: Scene, lines: list[str], place: int) -> bool | None:
    lines[place] = scene.random.choice(["", " ", "   ", "\t", "    "]) + lines[place].strip()
    return None


def _without_colon(scene: Scene, lines: list[str], place: int) -> bool | None:
    lines[place] = lines[place].replace(":", scene.random.choice(["", " =", ";", " :"]), 1)
    return None


def _moved(scene: Scene, lines: list[str], place: int) -> bool | None:
    lines.insert(scene.random.randrange(4, len(lines)), lines.pop(place))
    return None


def _inserted(*texts: str) -> Callable[[Scene, list[str], int], bool | None]:
    def change(scene: Scene, lines: list[str], place: int) -> bool | None:
        lines.insert(scene.random.choice([0, 1, place, len(lines)]), scene.random.choice(texts))
        return None

    return change


def _encoded(name: str, accepted: bool | None = None) -> Change:
    return lambda _, text: (text.encode(name), accepted)


def _newlines(newline: str) -> Change:
    return lambda _, text: (text.replace("\n", newline).encode(), None)


def _cut(scene: Scene, text: str) -> Mutated:
    return text.encode()[: scene.random.randrange(len(text))], None


def _flipped(scene: Scene, text: str) -> Mutated:
    damaged = bytearray(text.encode())
    for _ in range(scene.random.randint(1, 4)):
        damaged[scene.random.randrange(len(damaged))] ^= 1 << scene.random.randrange(8)
    return bytes(damaged), None


def _whole(*texts: bytes) -> Change:
    return lambda scene, _: (scene.random.choice(texts), False)


OF_PARAMS: dict[str, Change] = {
    "unchanged": lambda _, text: (text.encode(), True),
    "a value": _value,
    "some value": _value,
    "any value": _value,
    "an item of a list": _item,
    "a line less": _lines(_deleted),
    "a line twice": _lines(_twice),
    "a misspelt name": _lines(_misspelt),
    "an indent": _lines(_indented),
    "a colon": _lines(_without_colon),
    "a line moved": _lines(_moved),
    "a line more": _lines(
        _inserted(
            *(
                "x: 1",
                "  x: 1",
                "---",
                "...",
                "<<: {a: 1}",
                "__use_yte__: true",
                "%YAML 1.1",
                "- 1",
            ),
            *(
                "machine: {}",
                "methods: [cam]",
                "? x",
                "&a",
                "!!set {a}",
                "\0",
                "{",
                "random_seeds: 0",
            ),
        )
    ),
    "BOM": _encoded("utf-8-sig"),
    "UTF-16": _encoded("utf-16"),
    "CRLF": _newlines("\r\n"),
    "old Mac": _newlines("\r"),
    "line separator": _newlines("\u2028"),
    "truncated": _cut,
    "flipped bits": _flipped,
    "another file": _whole(b"", b"[]", b"1", b"\xff\xfe", b"\0" * 100, b"a: [" * 2000, b"{" * 5000),
}
