"""Failed, slow and indeterminate spans are exported even if not sampled, with their fault domain."""

import asyncio
import contextvars
import gc
from collections.abc import AsyncIterator
from enum import StrEnum

import pytest
from tests.telemetry.tracing.conftest import MakeTraced

from moneypath.telemetry import Catalogue, correlation, setup
from moneypath.telemetry.correlation import Context, Trace
from moneypath.telemetry.tracing import FaultDomain, Span, SpanKind, Tracer

UNSAMPLED = Context("0000-request", Trace("a" * 32, "b" * 16, sampled=False))
KEEP_REASON = "moneypath.kept"


@pytest.mark.parametrize("outcome", ["failed", "indeterminate"])
def test_an_unsampled_span_that_ends_ill_is_exported(make_traced: MakeTraced, outcome: str) -> None:
    """It keeps its ids, parent and attributes, and its trace stays unsampled."""
    traced = make_traced(ratio=0)
    given = {"moneypath.attempt": 2}
    with traced.tracer.span("call", SpanKind.CLIENT, given, UNSAMPLED) as span:
        span.set("moneypath.provider", "north")
        span.end_with(outcome, status_code=503)
        own = span.trace
    exported = traced.span("call")
    assert exported.attributes == {
        "moneypath.outcome": outcome,
        "moneypath.fault_domain": "theirs",
        "moneypath.kept": "indeterminate" if outcome == "indeterminate" else "error",
        "moneypath.attempt": 2,
        "moneypath.provider": "north",
        "http.response.status_code": 503,
    }
    assert (exported.trace, exported.parent) == (own, UNSAMPLED.trace)
    assert not exported.trace.sampled
    assert exported.is_failed


@pytest.mark.parametrize("outcome", [None, "succeeded", "declined", "rejected", "blocked", "shed"])
def test_an_unsampled_span_that_ends_well_is_not(make_traced: MakeTraced, outcome: str | None) -> None:
    """The negative twin: nothing is exported, and nothing is counted as a drop."""
    traced = make_traced(ratio=0)
    with traced.tracer.span("call", SpanKind.CLIENT, None, UNSAMPLED) as span:
        span.end_with(outcome)
    assert (traced.spans(), traced.drops) == ([], [])


def test_a_sampled_span_is_not_said_to_be_kept(make_traced: MakeTraced) -> None:
    """A keep reason would distort counts that are based on sampling."""
    traced = make_traced(ratio=1.0)
    with traced.tracer.span("call") as span:
        span.end_with("failed")
    assert KEEP_REASON not in traced.span("call").attributes


def test_a_slow_span_is_kept_from_its_threshold_on(make_traced: MakeTraced) -> None:
    """The tracer's clock decides; a duration equal to the threshold is slow."""
    now = 0.0
    traced = make_traced(ratio=0, slow_seconds=2.0, clock=lambda: now)
    for name, seconds in (("quick", 1.5), ("slow", 2.0)):
        with traced.tracer.span(name):
            now += seconds
    (span,) = traced.spans()
    assert (span.name, span.attributes[KEEP_REASON]) == ("slow", "slow")
    assert span.end_time_ns - span.start_time_ns == 2_000_000_000
    assert not span.is_failed


def test_an_exception_is_kept_and_passes_on(make_traced: MakeTraced) -> None:
    """Its class and text are exported; it does not override an outcome that was set."""
    traced = make_traced(ratio=0)
    with pytest.raises(ZeroDivisionError), traced.tracer.span("work"):
        raise ZeroDivisionError("no")
    span = traced.span("work")
    assert span.error == ("ZeroDivisionError", "no")
    assert (span.attributes["moneypath.outcome"], span.attributes[KEEP_REASON]) == ("failed", "error")
    assert correlation.active() is None


@pytest.mark.parametrize(
    ("error", "status", "outcome", "fault"),
    [
        (None, 500, "failed", "theirs"),
        (None, 200, "failed", "theirs"),
        (None, 429, "failed", "theirs"),
        (None, 408, "indeterminate", "theirs"),
        (None, 400, "failed", "ours"),
        (None, 401, "indeterminate", "ours"),
        (None, None, "failed", "ours"),
        (None, None, "indeterminate", "in_flight"),
        (None, 200, "succeeded", None),
        (None, 200, "declined", None),
        (ConnectionRefusedError(), None, "failed", "theirs"),
        (TimeoutError(), None, "indeterminate", "in_flight"),
        (ConnectionResetError(), None, "indeterminate", "in_flight"),
        (asyncio.CancelledError(), None, "indeterminate", "in_flight"),
        (ValueError(), None, "failed", "ours"),
        (TimeoutError(), 200, "indeterminate", "theirs"),
    ],
)
def test_whose_fault_it_was_follows_from_what_is_known(
    make_traced: MakeTraced,
    error: BaseException | None,
    status: int | None,
    outcome: str,
    fault: str | None,
) -> None:
    """Never sent or invalid: ours. Answered with a failure: theirs. Sent without an answer: in flight."""
    traced = make_traced(ratio=1.0)
    span = traced.tracer.span("call", SpanKind.CLIENT)
    span.__enter__()
    span.end_with(outcome if error is None else None, status_code=status)
    span.end(error)
    attributes = traced.span("call").attributes
    assert (attributes["moneypath.outcome"], attributes.get("moneypath.fault_domain")) == (outcome, fault)


def test_a_stated_fault_stands(make_traced: MakeTraced) -> None:
    """A fault domain that the caller set is not overridden."""
    traced = make_traced(ratio=1.0)
    with traced.tracer.span("call", SpanKind.CLIENT) as span:
        span.end_with("indeterminate", FaultDomain.THEIRS)
    assert traced.span("call").attributes["moneypath.fault_domain"] == "theirs"


def test_work_inside_has_no_fault_domain(make_traced: MakeTraced) -> None:
    """An internal span crosses no boundary."""
    traced = make_traced(ratio=1.0)
    with traced.tracer.span("work") as span:
        span.end_with("failed")
    assert "moneypath.fault_domain" not in traced.span("work").attributes


def test_a_payment_is_a_span(make_traced: MakeTraced, catalogue: Catalogue) -> None:
    """It carries provider, outcome and payment, and is always exported if indeterminate."""
    traced = make_traced(ratio=0, is_started=False)
    recorder = setup(catalogue, service="api", tracer=traced.tracer)
    assert recorder.tracer is traced.tracer
    with correlation.entered(UNSAMPLED):
        for outcome in ("succeeded", "indeterminate"):
            with recorder.payment("authorize") as payment:
                correlation.name_payment("p-1")
                payment.finish(outcome, "north")
    span = traced.span("payment authorize")
    assert span.attributes == {
        "moneypath.outcome": "indeterminate",
        KEEP_REASON: "indeterminate",
        "moneypath.payment_id": "p-1",
        "moneypath.provider": "north",
    }
    assert span.parent == UNSAMPLED.trace
    assert b'outcome="indeterminate",provider="north",traffic="live",cohort="control"} 1' in recorder.render()


def test_a_request_learns_its_payment_from_within(make_traced: MakeTraced) -> None:
    """A payment named in a span below, even in another task, is known to the rest of the request."""
    traced = make_traced(ratio=1.0)
    with traced.tracer.span("round"):
        with traced.tracer.span("request", SpanKind.SERVER):
            with traced.tracer.span("step"):
                contextvars.copy_context().run(correlation.name_payment, "p-1")
            with traced.tracer.span("later"):
                active = correlation.active()
                assert active is not None
                assert active.payment_id == "p-1"
        active = correlation.active()
        assert active is not None
        assert active.payment_id is None
    named = {span.name: span.attributes.get("moneypath.payment_id") for span in traced.spans()}
    assert named == {"round": None, "request": "p-1", "step": "p-1", "later": "p-1"}


class Unprintable:
    """An object whose `repr` raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class UnprintableError(Exception):
    """An error whose text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class Strange(StrEnum):
    """A span kind that no exporter knows."""

    KIND = "strange"


def test_nothing_that_is_set_can_break_the_work(make_traced: MakeTraced) -> None:
    """An invalid attribute loses itself, not the payment and not the other spans of the batch."""
    traced = make_traced(ratio=1.0)
    with traced.tracer.span("odd", Strange.KIND, [1, 2]) as span:  # type: ignore[arg-type]
        span.set([], "unhashable")  # type: ignore[arg-type]
        span.set("object", Unprintable())
        span.set("half", "\ud800")
        span.set("huge", 10**5000)
        span.end_with([])  # type: ignore[arg-type]
    with pytest.raises(UnprintableError), traced.tracer.span("error"):
        raise UnprintableError
    with traced.tracer.span("good"):
        pass
    names = [span.name for span in traced.spans()]
    assert "error" in names
    assert "good" in names
    assert len(names) + len(traced.drops) == 3


async def test_a_generator_that_another_task_closes_does_not_fail() -> None:
    """Its span ends in another task, whose active context does not change."""
    tracer = Tracer(ratio=1.0)

    async def rows() -> AsyncIterator[int]:
        with tracer.span("rows"):
            yield 1
            yield 2

    generator = rows()

    async def begin() -> None:
        assert await anext(generator) == 1

    await asyncio.create_task(begin())
    with correlation.entered(UNSAMPLED):
        await generator.aclose()  # type: ignore[attr-defined]
        assert correlation.active() == UNSAMPLED


def test_work_that_starts_its_successor_holds_no_past(make_traced: MakeTraced) -> None:
    """A timer that restarts itself inherits the span; a chain of them must not use more and more memory."""
    traced = make_traced(ratio=0)

    def step(left: int) -> contextvars.Context:
        with traced.tracer.span(f"step {left}"):
            return contextvars.copy_context()

    context = contextvars.copy_context()
    for left in range(200):
        context = context.run(step, left)
    gc.collect()
    # isinstance() would wake the lazy objects of other libraries.
    assert sum(type(item) is Span for item in gc.get_objects()) < 10
