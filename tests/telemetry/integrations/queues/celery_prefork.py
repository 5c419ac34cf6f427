"""A worker with a process pool that runs its tasks. The main process and one pool process are scraped."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from celery import Celery
from celery.worker import state

from moneypath.telemetry import setup
from moneypath.telemetry.integrations import celery

TASKS = 24
folder = Path(sys.argv[1])
app = Celery("prefork", broker="memory://", backend="cache+memory://")
app.conf.update(
    broker_transport_options={"polling_interval": 0.02},
    task_default_queue="payments",
    worker_hijack_root_logger=False,
    worker_lost_wait=0.1,
)
recorder = setup(service="worker", providers=["north"], currencies=["EUR"], queues=["payments"])
celery.observe(recorder, {"payments": "payments"})
HANDLED = 'moneypath_message_duration_seconds_count{queue="payments",outcome="handled"}'


def note() -> None:
    """Succeed, slowly enough that the other process gets tasks too."""
    (folder / f"did-{os.getpid()}").touch()
    time.sleep(0.02)


def die() -> None:
    """Kill the pool process."""
    os.kill(os.getpid(), signal.SIGKILL)


def scrape() -> None:
    """Render in a pool process."""
    (folder / "in-the-pool.draft").write_bytes(recorder.render())
    (folder / "in-the-pool.draft").rename(folder / "in-the-pool")


def handled() -> float:
    """Return the number of handled tasks in the main process."""
    lines = recorder.render().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(HANDLED))


def watch() -> None:
    """Kill a process that ran tasks, run more in a new one, scrape, and end the worker."""
    counts: list[float] = []
    sent = TASKS

    def reaches(count: int) -> None:
        while not counts or counts[-1] < count:
            counts.append(handled())
            time.sleep(0.01)

    def done_by(processes: int) -> None:
        # A process that is slow to start gets none of the first tasks.
        nonlocal sent
        while len(list(folder.glob("did-*"))) < processes:
            for _ in range(TASKS):
                app.send_task("note")
            sent += TASKS
            reaches(sent)

    reaches(sent)
    done_by(2)
    # By its own hand: one that waits for a task may hold the lock of the pool's queue, and then all wait.
    app.send_task("die")
    done_by(3)
    app.send_task("scrape")
    while not (folder / "in-the-pool").exists():
        time.sleep(0.01)
    reaches(sent + 1)
    (folder / "sent").write_text(str(sent))
    (folder / "in-main").write_bytes(recorder.render())
    (folder / "never-back").write_text(str(counts == sorted(counts)))
    state.should_stop = 0


def main() -> None:
    """Publish the tasks, run the worker, and watch it."""
    app.task(name="note")(note)
    app.task(name="die")(die)
    app.task(name="scrape")(scrape)
    for _ in range(TASKS):
        app.send_task("note")
    threading.Thread(target=watch, daemon=True).start()
    options = ["--pool=prefork", "--concurrency=2", "--without-mingle", "--without-gossip"]
    app.worker_main(["worker", *options, "--without-heartbeat", "--loglevel=ERROR"])


if __name__ == "__main__":
    main()
