"""``python -m pcgen`` is the same as the ``pcgen`` command."""

import sys

from pcgen.cli import main

if __name__ == "__main__":
    sys.exit(main())
