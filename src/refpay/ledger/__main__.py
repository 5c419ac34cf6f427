"""`python -m refpay.ledger`."""

import sys

from refpay.ledger.command import main
from refpay.runtime import run_command

sys.exit(run_command(main))
