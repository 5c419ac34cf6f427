"""`python -m refpay.ledger`."""

import sys

from refpay.errors import RefpayError
from refpay.ledger.command import main

try:
    sys.exit(main(sys.argv[1:]))
except RefpayError as problem:
    sys.stderr.write(f"refpay: {problem.detail}\n")
    sys.exit(2)
