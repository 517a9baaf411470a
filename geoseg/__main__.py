"""``python -m geoseg``: the command line."""

import sys

from geoseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
