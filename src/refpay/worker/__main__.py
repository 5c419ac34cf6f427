"""`python -m refpay.worker`."""

import sys

from refpay.runtime import run
from refpay.worker.main import main

sys.exit(run(main, service="refpay-worker"))
