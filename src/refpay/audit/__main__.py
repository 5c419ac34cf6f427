"""`python -m refpay.audit`."""

import sys

from refpay.audit.command import main
from refpay.runtime import run_command

sys.exit(run_command(main))
