"""Command lines of steps with wrong, missing and surplus words."""

import re
from collections.abc import Callable

import yaml
from numbers_of_steps import READ, command_of
from project import ROOT
from trial import Scene, Trial

OPTIONS = (
    "nan",
    "inf",
    "-inf",
    "",
    " ",
    "x",
    "-1",
    "1e400",
    "1e-400",
    "0x10",
    "1_0",
    "\u0661",
    "--",
    "1,5",
)


def arguments(scene: Scene) -> Trial:
    """A step's command line with one mutation, read and not run."""
    step = scene.random.choice([name for name in READ if name != "draw"])
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    words = command_of(step, values)
    about, mutate = scene.random.choice(list(OF_WORDS.items()))
    accepted, names = mutate(scene, words)
    return Trial(
        about=f"{step} {about}",
        program=f"parse {step}",
        words=tuple(words),
        names=names,
        accepted=accepted,
    )


def _value_of(scene: Scene, words: list[str]) -> tuple[bool | None, tuple[str, ...]]:
    """A value that is no number of the right kind, or out of every range."""
    numbers = [k for k, word in enumerate(words) if re.fullmatch(r"-?[0-9.]+", word)]
    k = scene.random.choice(numbers)
    words[k] = scene.random.choice(OPTIONS)
    return None, tuple(_option_before(words, k))


def _option_before(words: list[str], place: int) -> list[str]:
    return [next(w for w in reversed(words[:place]) if w.startswith("--") and w != "--")[2:], "--"]


def _unknown(scene: Scene, words: list[str]) -> tuple[bool | None, tuple[str, ...]]:
    option = scene.random.choice(["--nothing", "--epoch", "-x", "extra", "--Log", "—device"])
    words.append(option)
    return False, (option, *_option_before(words, len(words) - 1))


def _left_out(scene: Scene, words: list[str]) -> tuple[bool | None, tuple[str, ...]]:
    """An option without its value, or no option at all."""
    options = [k for k, word in enumerate(words) if word.startswith("--")]
    k = scene.random.choice(options)
    name = words[k]
    stop = next((j for j in options if j > k), len(words))
    del words[k + (scene.random.random() < 0.5) : stop]
    return None, (name, name[2:])


def _repeated(scene: Scene, words: list[str]) -> tuple[bool | None, tuple[str, ...]]:
    """An option twice with different values: one of them is ignored without a word."""
    numbers = [k for k, word in enumerate(words) if re.fullmatch(r"[0-9]+", word)]
    k = scene.random.choice(numbers)
    name = _option_before(words, k)[0]
    words += [f"--{name}", "3"]
    return None, (name,)


def _nothing(scene: Scene, words: list[str]) -> tuple[bool | None, tuple[str, ...]]:
    words.clear()
    return False, ("--",)


def _plain(scene: Scene, words: list[str]) -> tuple[bool | None, tuple[str, ...]]:
    return True, ()


OF_WORDS: dict[str, Callable[[Scene, list[str]], tuple[bool | None, tuple[str, ...]]]] = {
    "unchanged": _plain,
    "another value": _value_of,
    "one more value": _value_of,
    "unknown option": _unknown,
    "option left out": _left_out,
    "option twice": _repeated,
    "nothing": _nothing,
}
