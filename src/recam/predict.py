"""``python -m recam.predict``: the command ``recam predict``."""

import sys
from collections.abc import Sequence

from recam.commands import main as script


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, as ``recam.commands.main.main`` does."""
    return script.main(["predict", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
