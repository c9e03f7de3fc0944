"""``python -m recam``: the console script ``recam``."""

import sys

from recam.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
