"""Spans are exported in the background. A dead or slow exporter loses counted spans and never a payment."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from tests.telemetry.tracing.conftest import MakeTraced

from moneypath.telemetry import Catalogue, setup
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.tracing.batch_exporter import BATCH_LIMIT

Read = Callable[..., float | None]


def test_payments_finish_while_the_exporter_hangs(make_traced: MakeTraced, catalogue: Catalogue) -> None:
    """All payments are recorded; spans wait up to the queue limit, the rest are drops."""
    limit, payments = 100, 1000
    traced = make_traced(ratio=1.0, queue_limit=limit, is_started=False)
    recorder = setup(catalogue, service="api", tracer=traced.tracer)
    traced.sink.allowed.clear()
    with traced.tracer.span("first"):
        pass
    assert traced.sink.entered.wait(30)
    for _ in range(payments):
        with recorder.payment("authorize") as payment:
            payment.finish("succeeded", "north")
    text = recorder.render().decode()
    assert f'provider="north",traffic="live",cohort="control"}} {payments}' in text
    assert f'moneypath_telemetry_drops_total{{reason="span_queue_full"}} {payments - limit}' in text
    traced.sink.allowed.set()
    assert len(traced.spans()) == 1 + limit


def test_with_room_in_the_queue_nothing_is_dropped(make_traced: MakeTraced) -> None:
    """The positive twin: batches are limited and in the order in which spans ended."""
    traced = make_traced(ratio=1.0, queue_limit=5000)
    for number in range(2 * BATCH_LIMIT + 1):
        with traced.tracer.span(str(number)):
            pass
    assert [span.name for span in traced.spans()] == [str(number) for number in range(2 * BATCH_LIMIT + 1)]
    assert max(traced.sink.batches) <= BATCH_LIMIT
    assert (traced.drops, traced.sink.opened, traced.sink.closed) == ([], 1, 1)


def test_a_hanging_exporter_does_not_hold_up_the_end(make_traced: MakeTraced) -> None:
    """Closing gives up after its time and counts the remaining spans."""
    traced = make_traced(ratio=1.0)
    traced.sink.allowed.clear()
    with traced.tracer.span("hangs"):
        pass
    assert traced.sink.entered.wait(30)
    for _ in range(3):
        with traced.tracer.span("waits"):
            pass
    assert traced.tracer.close(timeout_seconds=0.01) is False
    assert traced.drops == [DropReason.SPAN_EXPORT_FAILED] * 3
    assert traced.sink.closed == 1
    with traced.tracer.span("too late"):
        pass
    assert traced.drops[-1] is DropReason.SPAN_QUEUE_FULL


@pytest.mark.parametrize("answer", [False, None, RuntimeError("no")])
def test_what_an_exporter_does_not_take_is_counted(make_traced: MakeTraced, answer: object) -> None:
    """The next batch is exported all the same."""
    traced = make_traced(ratio=1.0, is_started=False)

    def refuse(_spans: object) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    traced.sink.export = refuse  # type: ignore[assignment, method-assign]
    traced.tracer.start(traced.drops.append)
    for _ in range(2):
        with traced.tracer.span("lost"):
            pass
    assert traced.tracer.close()
    assert traced.drops == [DropReason.SPAN_EXPORT_FAILED] * 2


def test_an_exporter_that_cannot_be_made_keeps_the_service_from_starting(
    make_traced: MakeTraced, catalogue: Catalogue
) -> None:
    """The mistake raises at the start; and one tracer serves one recorder."""
    traced = make_traced(is_started=False)

    def refuse() -> None:
        raise ValueError("no such endpoint")

    traced.sink.open = refuse  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="no such endpoint"):
        setup(catalogue, service="api", tracer=traced.tracer)
    started = make_traced()
    with pytest.raises(TelemetryError, match="already started"):
        setup(catalogue, service="api", tracer=started.tracer)


def names() -> list[str]:
    """Return the names of the threads that run."""
    return [thread.name for thread in threading.enumerate()]


def test_no_thread_before_setup_and_none_after_close(make_traced: MakeTraced) -> None:
    """Making a tracer does nothing; closing it leaves nothing."""
    before = names()
    traced = make_traced(is_started=False)
    assert names() == before
    traced.tracer.start(traced.drops.append)
    assert "moneypath-spans" in names()
    assert traced.tracer.close()
    assert names() == before


FORKING = """
import os, sys, warnings
from moneypath.telemetry.tracing import Tracer
warnings.simplefilter("ignore")

def say(*words):
    # One write a line: both processes share the pipe.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

class Sink:
    def open(self): say("open", os.getpid() == parent)
    def export(self, spans):
        for span in spans: say("span", span.name, os.getpid() == parent)
        return True
    def close(self): say("close", os.getpid() == parent)

parent = os.getpid()
drops = []
tracer = Tracer(Sink(), ratio=1.0)
tracer.start(drops.append)
with tracer.span("parents"): pass
child = os.fork()
if child == 0:
    with tracer.span("childs") as span: say("id", span.trace.trace_id)
    tracer.close()
    os._exit(len(drops))
with tracer.span("parents") as span: say("id", span.trace.trace_id)
status = os.waitpid(child, 0)[1]
tracer.close()
say("drops", status, len(drops))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_forked_worker_exports_its_own_spans() -> None:
    """It has its own thread, exporter and ids; spans that waited at the fork belong to the parent."""
    run = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60, check=True
    )
    lines = run.stdout.splitlines()
    assert sorted(line for line in lines if not line.startswith("id")) == sorted(
        [
            "open True",
            "open False",
            "close True",
            "close False",
            "span parents True",
            "span parents True",
            "span childs False",
            "drops 0 0",
        ]
    )
    ids = [line for line in lines if line.startswith("id")]
    assert len(set(ids)) == 2
