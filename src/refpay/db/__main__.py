"""`python -m refpay.db upgrade`."""

import sys

from refpay.db.upgrade import main
from refpay.runtime import run_command

sys.exit(run_command(main))
