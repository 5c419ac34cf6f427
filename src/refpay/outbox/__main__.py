"""`python -m refpay.outbox`."""

import sys

from refpay.errors import StartRefused
from refpay.outbox.command import main

try:
    main(sys.argv[1:])
except StartRefused as problem:
    sys.stderr.write(f"refpay: {problem.detail}\n")
    sys.exit(2)
