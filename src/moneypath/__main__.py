"""`python -m moneypath`: the same as the command `moneypath`."""

import sys

try:
    from moneypath.cli import main
except KeyboardInterrupt:  # loading takes long enough to be interrupted
    sys.exit(130)

main()
