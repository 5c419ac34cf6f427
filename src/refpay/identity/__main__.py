"""`python -m refpay.identity rotate`."""

import sys

from refpay.identity.token_keys import main
from refpay.runtime import run_command

sys.exit(run_command(main))
