"""Run histories in a process: read settings and seeds from standard input, write one JSON line per
history.
"""

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict

import structlog
from proofs.simulation.bugs import BUGS
from proofs.simulation.history import Simulator
from proofs.simulation.loop import VirtualLoop


def main() -> None:
    """Run the seeds from standard input until it ends, or until a history breaks an invariant."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
    order = json.loads(sys.stdin.readline())
    loop = VirtualLoop()
    loop.selector.jittered = order["jittered"]
    with ExitStack() as stack:
        if order["bug"]:
            stack.enter_context(BUGS[order["bug"]].planted())
        simulator = Simulator(loop, order["dsn"], order["monitor_dsn"])
        for line in sys.stdin:
            outcome = simulator.run(int(line))
            found = asdict(outcome)
            if not outcome.violation and not order["trace"]:
                found["trace"] = ()
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()
            if outcome.violation:
                # The remains of a broken history would disturb the next ones.
                os._exit(1)
        simulator.close()


if __name__ == "__main__":
    main()
