"""The worker of the bad build `acknowledges_before_disk`: a good worker's commits would sync the others'
too.
"""

import sys

from loadtests.badbuilds.acknowledges_before_disk import disable_synchronous_commit, skip_durability_check
from loadtests.badbuilds.wiring import replace

from refpay.db import pool
from refpay.runtime import run
from refpay.worker import main as root

if __name__ == "__main__":
    replace(pool, "_SERVER_SETTINGS", disable_synchronous_commit)
    replace(root, "require_durable", skip_durability_check)
    sys.exit(run(root.main, service="refpay-worker"))
