"""``python -m quasicrit``: the command, where its script is not on the path."""

import sys

from quasicrit.cli import main

if __name__ == "__main__":
    sys.exit(main())
