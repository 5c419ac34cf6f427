"""A Celery worker. Run it: publisher and worker share one process, with a broker in its memory.

With a real broker, start workers as usual: `celery --app celery_worker --broker ... worker`.
"""

import threading

from celery import Celery, signals
from celery.contrib.testing.worker import start_worker

from moneypath.telemetry import Catalogue, correlation, setup
from moneypath.telemetry.integrations import celery as observed

VOCABULARY = {
    "providers": ("north",),
    "currencies": ("EUR",),
    "schemes": ("visa",),
    "checks": ("ledger_balance",),
    "queues": ("notifications",),
}
app = Celery("celery_worker", broker="memory://", backend="cache+memory://")
app.conf.task_default_queue = "paid"
recorder = setup(Catalogue.build(VOCABULARY), service="notifier")
observed.observe(recorder, {"paid": "notifications"})


@app.task(autoretry_for=(ConnectionError,), max_retries=1, default_retry_delay=0)
def notify(payment: int) -> None:
    """Notify the merchant. The second payment's merchant cannot be reached."""
    if payment == 2:
        raise ConnectionError("nobody answers")
    print("told of", payment, "for the request", correlation.current())


def main() -> None:
    """Publish in the context of a request, run the tasks in it, and print the metrics."""
    deliveries = threading.Semaphore(0)
    signals.task_postrun.connect(lambda **_: deliveries.release(), weak=False)
    with start_worker(app, perform_ping_check=False):
        for payment in (1, 2):
            with correlation.bound(correlation.mint()):
                notify.delay(payment)
        for _ in range(3):
            deliveries.acquire()
    for line in recorder.render().decode().splitlines():
        if line.startswith(("moneypath_message", "moneypath_queue", "moneypath_dead")) and "le=" not in line:
            print(line)


if __name__ == "__main__":
    main()
