"""`python -m refpay.app`."""

import sys

from refpay.app.main import main
from refpay.runtime import run

sys.exit(run(main, service="refpay-api"))
