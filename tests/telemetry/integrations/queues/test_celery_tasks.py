"""Celery with a real worker in this process: contexts, retries, failures and rejections."""

import asyncio
import os
import queue
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, current_task, signals
from celery.contrib.testing.worker import start_worker
from celery.exceptions import Reject

from moneypath.telemetry import LabelsUnknown, Recorder, correlation
from moneypath.telemetry.correlation import Context
from moneypath.telemetry.integrations import celery, messages

WITHIN_SECONDS = 30
Read = Callable[..., float | None]
Counts = Callable[[], tuple[float | None, float | None, float | None]]
Dead = Callable[[], dict[str, float]]
RunExample = Callable[..., Awaitable[str]]


class Bench:
    """A team's application with a task for each outcome. Queues report what a task saw and which ended."""

    def __init__(self) -> None:
        self.app = Celery("payments", broker="memory://", backend="cache+memory://")
        self.app.conf.update(
            task_default_queue="payments",
            broker_transport_options={"polling_interval": 0.01},
            worker_hijack_root_logger=False,
        )
        options = {"max_retries": 2, "typing": False, "shared": False}
        for name in ("note", "fail_once", "fail_always", "fail", "reject", "requeue", "misname", "pass_on"):
            self.app.task(name=name, **options)(getattr(self, name))
        self.app.task(name="requeue_late", acks_late=True, **options)(self.requeue)

    def begin(self, producer: Context) -> None:
        """Reset for the next test."""
        self.producer = producer
        self.seen: queue.Queue[Context | None] = queue.Queue()
        self.ended: queue.Queue[Any] = queue.Queue()
        self.tries = 0

    def note(self) -> None:
        """Succeed."""
        self.seen.put(correlation.active())

    def fail_once(self) -> None:
        """Succeed at the second attempt."""
        self.seen.put(correlation.active())
        if current_task.request.retries == 0:
            raise current_task.retry(countdown=0)

    def fail_always(self) -> None:
        """Retry until no retry is left."""
        raise current_task.retry(exc=KeyError("card 4111111111111111"), countdown=0)

    def fail(self) -> None:
        """Fail without a retry."""
        raise KeyError("card 4111111111111111")

    def reject(self) -> None:
        """Have the broker drop the message."""
        raise Reject("no", requeue=False)

    def requeue(self) -> None:
        """Requeue the message once."""
        self.tries += 1
        if self.tries == 1:
            raise Reject("later", requeue=True)

    def misname(self) -> None:
        """Fail with a reason of the handler's own."""
        messages.set_aside("malformed")
        raise ValueError("what is this")

    def pass_on(self) -> None:
        """Publish another task."""
        self.app.tasks["note"].apply_async()

    def send(self, name: str, **options: Any) -> None:
        """Publish a task in the context of a request."""
        with correlation.entered(self.producer):
            self.app.tasks[name].apply_async(**options)

    def await_end(self, name: str) -> None:
        """Wait until a delivery of the task has ended."""
        assert self.ended.get(timeout=WITHIN_SECONDS) == name


@pytest.fixture(scope="module")
def team() -> Iterator[Bench]:
    """Run one worker for all tests, because it takes seconds to stop."""
    made = Bench()
    with start_worker(
        made.app, queues=["payments", "unnamed"], perform_ping_check=False, shutdown_timeout=WITHIN_SECONDS
    ):
        yield made


@pytest.fixture
def bench(team: Bench, recorder: Recorder, producer: Context) -> Iterator[Bench]:
    """Observe the worker for one test."""
    team.begin(producer)
    observation = celery.observe(recorder, {"payments": "notifications"})

    def note_end(sender: Any, **_: object) -> None:
        team.ended.put(sender.name)

    def note_refusal(**_: object) -> None:
        team.ended.put("refused")

    # After ours, so that what is waited for has been recorded.
    signals.task_postrun.connect(note_end, weak=False)
    signals.task_unknown.connect(note_refusal, weak=False)
    signals.task_rejected.connect(note_refusal, weak=False)
    yield team
    observation.disconnect()
    signals.before_task_publish.disconnect(dispatch_uid="moneypath-carry-context")
    signals.task_postrun.disconnect(note_end)
    signals.task_unknown.disconnect(note_refusal)
    signals.task_rejected.disconnect(note_refusal)


def test_a_task_runs_in_the_context_of_its_producer(bench: Bench, counts: Counts, dead: Dead) -> None:
    """Ids and trace arrive, the payment id does not; afterwards the worker has no context."""
    bench.send("note", headers={"Traceparent": "stale", "kind": "refund"})
    context = bench.seen.get(timeout=WITHIN_SECONDS)
    bench.await_end("note")
    assert context is not None
    assert (context.correlation_id, context.payment_id) == ("order-12345678", None)
    assert context.trace is not None
    assert context.trace.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert counts() == (1, 0, 0)
    assert dead() == {}


def test_a_task_that_a_task_publishes_carries_the_same_context(bench: Bench) -> None:
    """The correlation id passes from the request to the first and the second task."""
    bench.send("pass_on")
    context = bench.seen.get(timeout=WITHIN_SECONDS)
    for name in ("pass_on", "note"):
        bench.await_end(name)
    assert context is not None
    assert context.correlation_id == "order-12345678"


def test_a_task_published_outside_of_a_request_gets_an_id(bench: Bench) -> None:
    """A scheduled task gets a new id, not that of the previous task."""
    bench.send("note")
    bench.app.tasks["note"].apply_async()
    for _ in range(2):
        bench.await_end("note")
    found = [bench.seen.get_nowait() for _ in range(2)]
    assert all(context is not None for context in found)
    assert len({context.correlation_id for context in found if context is not None}) == 2


def test_a_retry_is_a_failed_delivery_and_keeps_the_context(bench: Bench, counts: Counts, dead: Dead) -> None:
    """The second delivery is handled, and there is no dead letter."""
    bench.send("fail_once")
    for _ in range(2):
        bench.await_end("fail_once")
    found = {context and context.correlation_id for context in (bench.seen.get(), bench.seen.get())}
    assert found == {"order-12345678"}
    assert counts() == (1, 1, 0)
    assert dead() == {}


@pytest.mark.parametrize(
    ("name", "deliveries", "expected", "reason"),
    [
        ("fail_always", 3, (0, 2, 1), "attempts_exhausted"),
        ("fail", 1, (0, 0, 1), "rejected"),
        ("reject", 1, (0, 0, 1), "rejected"),
        # Acknowledged before it ran: the broker has nothing to give back.
        ("requeue", 1, (0, 0, 1), "rejected"),
        ("misname", 1, (0, 0, 1), "malformed"),
    ],
)
def test_a_task_that_fails_for_good_is_one_dead_letter(
    bench: Bench,
    read: Read,
    name: str,
    deliveries: int,
    expected: tuple[float, ...],
    reason: str,
    counts: Counts,
    dead: Dead,
) -> None:
    """After the last retry, at once, rejected, or for the handler's reason; never counted twice."""
    bench.send(name)
    for _ in range(deliveries):
        bench.await_end(name)
    # What the worker tells of a task after its end has been told when the next one begins.
    bench.send("note")
    bench.await_end("note")
    assert dead() == {reason: 1}
    assert read("moneypath_telemetry_drops_total", reason="unknown_value") == 0
    assert counts() == (expected[0] + 1, *expected[1:])


def test_a_failure_that_cannot_be_stored_is_a_dead_letter_too(bench: Bench, dead: Dead, read: Read) -> None:
    """Without a result backend Celery reports its own error twice; an unexpected one raises nothing."""
    info = {"delivery_info": {"routing_key": "payments"}}
    for task_id, request in (("one", info), ("one", info), ("two", {"delivery_info": None}), ("three", None)):
        found = signals.task_internal_error.send(
            sender=bench.app.tasks["fail"], task_id=task_id, request=request, exception=KeyError()
        )
        assert [answer for _, answer in found] == [None]
    assert dead() == {"rejected": 1}
    assert read("moneypath_telemetry_drops_total", reason="unknown_value") == 1


def test_a_message_given_back_is_no_dead_letter(bench: Bench, counts: Counts, dead: Dead) -> None:
    """It failed, and is handled when it is delivered again."""
    bench.send("requeue_late")
    for _ in range(2):
        bench.await_end("requeue_late")
    assert (dead(), counts()) == ({}, (1, 1, 0))


def test_a_message_that_is_no_task_or_of_an_unknown_one_is_a_dead_letter(
    bench: Bench, counts: Counts, dead: Dead
) -> None:
    """The worker drops both without running a task."""
    bench.app.send_task("of_another_release")
    bench.await_end("refused")
    with bench.app.connection_for_write() as connection, connection.Producer() as producer:
        producer.publish({"what": "is this"}, routing_key="payments")
    bench.await_end("refused")
    assert dead() == {"unknown_type": 1, "malformed": 1}
    assert counts() == (0, 0, 0)


@pytest.mark.parametrize(
    "headers",
    [{"x-correlation-id": "o" * 100_000}, {"x-correlation-id": 7, "traceparent": None}, {"tracestate": [1]}],
)
def test_hostile_headers_of_a_task_are_harmless(
    bench: Bench, headers: dict[str, Any], counts: Counts
) -> None:
    """The task runs under a new id."""
    bench.app.tasks["note"].apply_async(headers=headers)
    context = bench.seen.get(timeout=WITHIN_SECONDS)
    bench.await_end("note")
    assert context is not None
    assert len(context.correlation_id) == 36
    assert counts() == (1, 0, 0)


def test_a_queue_that_was_not_named_is_a_counted_drop(
    bench: Bench, read: Read, counts: Counts, dead: Dead
) -> None:
    """Its tasks run in their context, but no queue of the catalogue is known for them."""
    bench.send("fail", queue="unnamed")
    bench.await_end("fail")
    bench.send("note", queue="unnamed")
    context = bench.seen.get(timeout=WITHIN_SECONDS)
    bench.await_end("note")
    assert context is not None
    assert context.correlation_id == "order-12345678"
    assert read("moneypath_telemetry_drops_total", reason="unknown_value") == 2
    assert (counts(), dead()) == ((0, 0, 0), {})


def test_an_eager_task_is_no_message(
    bench: Bench, read: Read, counts: Counts, dead: Dead, producer: Context
) -> None:
    """It runs in the caller's context, payment included, and nothing is counted."""
    with correlation.entered(producer):
        bench.app.tasks["note"].apply()
    assert bench.seen.get(timeout=WITHIN_SECONDS) == producer
    with pytest.raises(KeyError):
        bench.app.tasks["fail"].apply(throw=True)
    bench.app.tasks["fail"].apply()
    assert read("moneypath_telemetry_drops_total", reason="unknown_value") == 0
    assert (counts(), dead()) == ((0, 0, 0), {})


def test_an_unknown_queue_is_refused_before_a_worker_starts(recorder: Recorder) -> None:
    """No signal has been connected."""
    before = len(signals.task_prerun.receivers)
    with pytest.raises(LabelsUnknown, match="refunds"):
        celery.observe(recorder, {"payments": "refunds"})
    assert len(signals.task_prerun.receivers) == before


async def test_the_example_for_celery_runs(run_example: RunExample) -> None:
    """One task succeeds, the other fails twice and becomes a dead letter."""
    output = await run_example("celery_worker.py")
    assert output.count("told of") == 1
    for line in (
        'moneypath_message_duration_seconds_count{queue="notifications",outcome="handled"} 1',
        'moneypath_message_duration_seconds_count{queue="notifications",outcome="failed"} 1',
        'moneypath_dead_letters_total{queue="notifications",reason="attempts_exhausted"} 1',
    ):
        assert f"{line}\n" in output.replace(".0\n", "\n")


async def run_pool(script: str, folder: Path) -> None:
    """Run a worker with a process pool until it ends itself."""
    said = folder / "said"
    with said.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name(script)),
            str(folder),
            env={**os.environ, "C_FORCE_ROOT": "1", "XDG_RUNTIME_DIR": str(folder)},
            stdout=file,
            stderr=file,
        )
    try:
        async with asyncio.timeout(5 * WITHIN_SECONDS):
            await process.wait()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        sys.stdout.write(said.read_text())  # shown if the test fails


async def test_a_process_of_the_pool_that_dies_or_hangs_is_reported_by_the_main_process(
    tmp_path: Path,
) -> None:
    """Two were killed and one timed out: no message is delivered again, and each counts once."""
    await run_pool("celery_pool.py", tmp_path)
    assert (tmp_path / "counted").read_text().replace(".0", "") == (
        'moneypath_dead_letters_total{queue="notifications",reason="rejected"} 3'
    )


async def test_a_pool_of_processes_gives_one_scrape(tmp_path: Path) -> None:
    """The main process and a pool process return the same; tasks of a killed process stay counted."""
    await run_pool("celery_prefork.py", tmp_path)
    in_main, in_the_pool = (
        (tmp_path / name).read_text().replace(".0\n", "\n") for name in ("in-main", "in-the-pool")
    )
    handled = 'moneypath_message_duration_seconds_count{queue="payments",outcome="handled"} '
    assert len(list(tmp_path.glob("did-*"))) > 2
    sent = int((tmp_path / "sent").read_text())
    assert f"{handled}{sent + 1}\n" in in_main
    assert 'moneypath_dead_letters_total{queue="payments",reason="rejected"} 1\n' in in_main
    # The task that scrapes has not ended then; and of the dead only the main process knows.
    assert f"{handled}{sent}\n" in in_the_pool
    assert 'moneypath_dead_letters_total{queue="payments",reason="rejected"} 0\n' in in_the_pool
    assert (tmp_path / "never-back").read_text() == "True"
