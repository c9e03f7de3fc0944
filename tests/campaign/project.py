"""The project under trial: its folder, first in the path."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow/scripts"
sys.path[:0] = [str(ROOT / part) for part in ("src", "workflow", "workflow/scripts", "tests")]
