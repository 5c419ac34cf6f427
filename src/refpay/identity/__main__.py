"""`python -m refpay.identity rotate`."""

import sys

from refpay.errors import StartRefused
from refpay.identity.rotation import main

try:
    main(sys.argv[1:])
except StartRefused as problem:
    sys.stderr.write(f"refpay: {problem.detail}\n")
    sys.exit(2)
