"""A ledger write is a span of its request, whichever library ran it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.tracing import SpanKind, Tracer, current_span
from moneypath.telemetry.tracing.redacted_span import RedactedSpan

if TYPE_CHECKING:
    from tests.telemetry.ledger.conftest import HandClock
    from tests.telemetry.ledger.driver_adapters.conftest import DriverAdapter

    Rival = asyncpg.Connection[Any]
else:
    Rival = Any

INSERT = "INSERT INTO entry VALUES (1)"
IN_COMMIT = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE application_name = 'adapter' AND wait_event = 'advisory' AND query LIKE 'COMMIT%'"
)


class CollectedSpans:
    """A sink that keeps spans."""

    def __init__(self) -> None:
        self.spans: list[RedactedSpan] = []

    def open(self) -> None:
        """Do nothing."""

    def export(self, spans: Sequence[RedactedSpan]) -> bool:
        """Keep the spans."""
        self.spans += spans
        return True

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def kept() -> CollectedSpans:
    """Return the sink."""
    return CollectedSpans()


@pytest.fixture
def recorder(catalogue: Catalogue, clock: "HandClock", kept: CollectedSpans) -> Iterator[Recorder]:
    """Return a recorder with a tracer that samples nothing by itself, both on the test's clock."""
    tracer = Tracer(kept, ratio=0.0, slow_seconds=60, clock=clock)
    yield setup(catalogue, service="ledger", clock=clock, tracer=tracer)
    assert tracer.close()


def written(recorder: Recorder, kept: CollectedSpans) -> RedactedSpan:
    """Return the one span of a ledger write."""
    assert recorder.tracer.close()
    (found,) = [span for span in kept.spans if span.name.startswith("ledger")]
    return found


async def test_write_of_a_sampled_request_is_a_span_of_it(
    adapter: "DriverAdapter", rival: Rival, recorder: Recorder, kept: CollectedSpans, clock: "HandClock"
) -> None:
    """It lasts as long as the transaction, and the request stays active."""

    async def three_seconds() -> None:
        clock.seconds += 3

    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    request = recorder.tracer.begin("POST /payments", SpanKind.SERVER, traceparent=caller)
    await adapter.write(INSERT, three_seconds)
    assert current_span() is request
    request.end()
    span = written(recorder, kept)
    assert (span.name, span.kind, span.is_failed) == ("ledger posting", SpanKind.CLIENT, False)
    assert span.parent == request.trace
    assert span.end_time_ns - span.start_time_ns == 3_000_000_000
    assert span.attributes == {
        "moneypath.outcome": "succeeded",
        "moneypath.ledger.kind": "posting",
        "moneypath.ledger.outcome": "committed",
    }


async def test_write_that_is_not_sampled_is_no_span(
    adapter: "DriverAdapter", rival: Rival, recorder: Recorder, kept: CollectedSpans
) -> None:
    """The negative twin: without sampling there are only metrics."""
    await adapter.write(INSERT)
    assert recorder.tracer.close()
    assert kept.spans == []


async def test_refusal_is_kept_without_the_words_of_the_database(
    adapter: "DriverAdapter", rival: Rival, recorder: Recorder, kept: CollectedSpans
) -> None:
    """PostgreSQL quotes the row in its message, so the span has only the SQLSTATE."""
    with pytest.raises(Exception, match="duplicate key"):
        await adapter.write(INSERT, INSERT)
    span = written(recorder, kept)
    assert span.is_failed
    assert span.error is None
    assert span.attributes == {
        "moneypath.outcome": "failed",
        "moneypath.fault_domain": "ours",
        "moneypath.kept": "error",
        "moneypath.ledger.kind": "posting",
        "moneypath.ledger.outcome": "rejected",
        "db.response.status_code": "23505",
    }


async def test_unanswered_commit_is_kept_as_in_flight(
    adapter: "DriverAdapter",
    rival: Rival,
    until: Callable[..., Awaitable[Any]],
    recorder: Recorder,
    kept: CollectedSpans,
) -> None:
    """COMMIT was sent and not answered."""
    await rival.execute("SELECT pg_advisory_lock(42)")
    writing = asyncio.create_task(adapter.write("INSERT INTO slow_entry VALUES (1)"))
    await rival.execute("SELECT pg_terminate_backend($1)", await until(IN_COMMIT))
    with pytest.raises(Exception, match=r"."):
        await writing
    attributes = written(recorder, kept).attributes
    assert attributes["moneypath.outcome"] == attributes["moneypath.kept"] == "indeterminate"
    assert attributes["moneypath.fault_domain"] == "in_flight"
    assert attributes["moneypath.ledger.outcome"] == "unknown"
