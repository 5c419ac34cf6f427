"""`python -m refpay.db upgrade`."""

import sys

from refpay.db.upgrade import main
from refpay.errors import StartRefused

try:
    main(sys.argv[1:])
except StartRefused as problem:
    sys.stderr.write(f"refpay: {problem.detail}\n")
    sys.exit(2)
