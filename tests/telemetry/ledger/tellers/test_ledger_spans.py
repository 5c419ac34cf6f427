"""A ledger write is a span of the request that made it, whichever library ran it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.tracing import SpanKind, Tracer, current_span
from moneypath.telemetry.tracing.record import SpanRecord

if TYPE_CHECKING:
    from tests.telemetry.ledger.conftest import HandClock
    from tests.telemetry.ledger.tellers.conftest import Teller

    Rival = asyncpg.Connection[Any]
else:
    Rival = Any

INSERT = "INSERT INTO entry VALUES (1)"
IN_COMMIT = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE application_name = 'teller' AND wait_event = 'advisory' AND query LIKE 'COMMIT%'"
)


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[SpanRecord] = []

    def open(self) -> None:
        """Make nothing."""

    def export(self, spans: Sequence[SpanRecord]) -> bool:
        """Keep them."""
        self.spans += spans
        return True

    def close(self) -> None:
        """Give nothing up."""


@pytest.fixture
def kept() -> Kept:
    """Return where spans go."""
    return Kept()


@pytest.fixture
def recorder(catalogue: Catalogue, clock: "HandClock", kept: Kept) -> Iterator[Recorder]:
    """Return a recorder with a tracer that samples nothing of itself, both on the test's clock."""
    tracer = Tracer(kept, ratio=0.0, slow_seconds=60, clock=clock)
    yield setup(catalogue, service="ledger", clock=clock, tracer=tracer)
    assert tracer.close()


def written(recorder: Recorder, kept: Kept) -> SpanRecord:
    """Return the one span of a ledger write."""
    assert recorder.tracer.close()
    (found,) = [span for span in kept.spans if span.name.startswith("ledger")]
    return found


async def test_write_of_a_sampled_request_is_a_span_of_it(
    teller: "Teller", rival: Rival, recorder: Recorder, kept: Kept, clock: "HandClock"
) -> None:
    """It took as long as the transaction, and leaves the request the active one."""

    async def three_seconds() -> None:
        clock.seconds += 3

    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    request = recorder.tracer.begin("POST /payments", SpanKind.SERVER, traceparent=caller)
    await teller.write(INSERT, three_seconds)
    assert current_span() is request
    request.end()
    span = written(recorder, kept)
    assert (span.name, span.kind, span.is_failed) == ("ledger posting", SpanKind.CLIENT, False)
    assert span.parent == request.trace
    assert span.ended_ns - span.begun_ns == 3_000_000_000
    assert span.attributes == {
        "moneypath.outcome": "succeeded",
        "moneypath.ledger.kind": "posting",
        "moneypath.ledger.outcome": "committed",
    }


async def test_write_that_is_not_sampled_is_no_span(
    teller: "Teller", rival: Rival, recorder: Recorder, kept: Kept
) -> None:
    """The twin: nine of ten leave numbers alone."""
    await teller.write(INSERT)
    assert recorder.tracer.close()
    assert kept.spans == []


async def test_refusal_is_kept_without_the_words_of_the_database(
    teller: "Teller", rival: Rival, recorder: Recorder, kept: Kept
) -> None:
    """PostgreSQL quotes the row in its message: the span has the SQLSTATE."""
    with pytest.raises(Exception, match="duplicate key"):
        await teller.write(INSERT, INSERT)
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
    teller: "Teller", rival: Rival, until: Callable[..., Awaitable[Any]], recorder: Recorder, kept: Kept
) -> None:
    """Sent, and nobody knows."""
    await rival.execute("SELECT pg_advisory_lock(42)")
    writing = asyncio.create_task(teller.write("INSERT INTO slow_entry VALUES (1)"))
    await rival.execute("SELECT pg_terminate_backend($1)", await until(IN_COMMIT))
    with pytest.raises(Exception, match=r"."):
        await writing
    attributes = written(recorder, kept).attributes
    assert attributes["moneypath.outcome"] == attributes["moneypath.kept"] == "indeterminate"
    assert attributes["moneypath.fault_domain"] == "in_flight"
    assert attributes["moneypath.ledger.outcome"] == "unknown"
