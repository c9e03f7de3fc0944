"""Run a step with the library of this checkout: a copy of the project uses its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from recam.steps.command import run

__all__ = ["run"]
