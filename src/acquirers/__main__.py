"""Run one acquirer: `python -m acquirers --help`."""

import sys

from acquirers.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
