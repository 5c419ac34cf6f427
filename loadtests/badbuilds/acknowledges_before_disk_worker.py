"""The worker of the bad build `acknowledges_before_disk`: a good one takes the others' commits to disk."""

import sys

from loadtests.badbuilds.acknowledges_before_disk import hasten, look_away
from loadtests.badbuilds.wiring import replace

from refpay.db import pool
from refpay.runtime import run
from refpay.worker import main as root

if __name__ == "__main__":
    replace(pool, "_SERVER_SETTINGS", hasten)
    replace(root, "require_durable", look_away)
    sys.exit(run(root.main, service="refpay-worker"))
