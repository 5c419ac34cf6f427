"""A worker with a process pool whose tasks kill the process or hang.

It writes what the main process counted.
"""

import os
import signal
import sys
import time
from pathlib import Path

from celery import Celery, signals
from celery.worker import state

from moneypath.telemetry import Catalogue, setup
from moneypath.telemetry.integrations import celery

folder = Path(sys.argv[1])
app = Celery("pool", broker="memory://", backend="cache+memory://")
app.conf.update(
    broker_transport_options={"polling_interval": 0.05},
    task_default_queue="payments",
    worker_hijack_root_logger=False,
    worker_lost_wait=0.1,
)
VOCABULARY = {"providers": ("north",), "currencies": ("EUR",), "checks": ("balance",), "schemes": ("visa",)}
recorder = setup(Catalogue.build(VOCABULARY), service="worker")
celery.observe(recorder, {"payments": "notifications"})
failures: list[str] = []


def die() -> None:
    """Kill the pool process."""
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    """Exceed the time limit."""
    time.sleep(60)


def tell(sender: object, **_: object) -> None:
    """Write the counts so far, and end the worker after the last failure."""
    lines = recorder.render().decode().splitlines()
    found = [line for line in lines if line.startswith("moneypath_dead_letters_total{")]
    (folder / "counted").write_text("\n".join(line for line in found if float(line.split()[-1])))
    failures.append(getattr(sender, "name", ""))
    if failures.count("die") == 2:
        state.should_stop = 0


def main() -> None:
    """Publish the tasks and run the worker."""
    app.task(name="die")(die)
    app.task(name="hang", time_limit=1)(hang)
    # After ours, so that what it writes has been counted.
    signals.task_failure.connect(tell, weak=False)
    for name in ("die", "hang", "die"):
        app.send_task(name)
    options = ["--pool=prefork", "--concurrency=1", "--without-mingle", "--without-gossip"]
    app.worker_main(["worker", *options, "--without-heartbeat", "--loglevel=ERROR"])


if __name__ == "__main__":
    main()
