"""A process that runs histories: reads where and which from standard input, writes a JSON line for each."""

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict

import structlog

from simulation.bugs import BUGS
from simulation.history import Simulator
from simulation.loop import VirtualLoop


def main() -> None:
    """Run the seeds that standard input names until it ends, or until a history breaks a promise."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
    order = json.loads(sys.stdin.readline())
    loop = VirtualLoop()
    loop.selector.shaken = order["shaken"]
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
                # What it left behind would disturb the next ones.
                os._exit(1)
        simulator.close()


if __name__ == "__main__":
    main()
