"""Types of arguments that several subcommands share; wrong text raises ArgumentTypeError."""

import argparse
import math

from recam.interface.files import DEVICES

LARGEST_SCALE = 4  # as in section evaluate of params.yaml


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return int(text)


def device(text: str) -> str:
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    if not DEVICES.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected auto, cpu, cuda or cuda:1, got {text}")
    return text


def scale(text: str) -> float:
    """A scale of the image, above 0 to 4."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= LARGEST_SCALE:
        raise argparse.ArgumentTypeError(
            f"expected a number above 0, at most {LARGEST_SCALE}, got {text}"
        )
    return number
