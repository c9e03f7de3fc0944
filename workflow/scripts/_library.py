"""Run a step with the library of this checkout: a copy of the project uses its own."""

import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from recam.runtime.loading import begin_loading

begin_loading()  # the imports of a step take seconds
gc.disable()  # they make few cycles and many objects; `end_loading` starts it

from recam.steps.command import run  # noqa: E402

__all__ = ["run"]
