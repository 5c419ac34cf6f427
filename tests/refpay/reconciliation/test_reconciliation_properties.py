"""Random histories round the borders of periods: what is right never breaks, one wrong line breaks once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .bench import START, Op, Row, at

if TYPE_CHECKING:
    from .bench import Bench

# Each example is a minute of rounds on a database of its own; `make explore` draws five times as many.
EXAMPLES = settings().max_examples // 12
QUICK = settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
ENDS = 70


@dataclass(frozen=True)
class Event:
    """An operation, and the instant in the provider's book, by the provider's clock."""

    op: Op
    booked: datetime


@st.composite
def events(draw: Any, provider: str, skew: timedelta) -> Event:
    """Draw an operation near a border: booked, by the true clock, while it was under way."""
    border = 10 * draw(st.integers(1, 4))
    created = at(border) + timedelta(milliseconds=draw(st.integers(-3000, 2000)))
    lasts = timedelta(milliseconds=draw(st.integers(0, 3000)))
    booked = created + lasts * draw(st.sampled_from((0, 0.5, 1)))
    amount = draw(st.integers(100, 10**6))
    currency = draw(st.sampled_from(("EUR", "JPY", "KWD")))
    kind = draw(st.sampled_from(("capture", "capture", "refund")))
    return Event(Op(provider, amount, currency, created, created + lasts, kind), booked + skew)


@st.composite
def histories(draw: Any) -> tuple[timedelta, list[Event]]:
    """Draw how far the provider's clock is off, under a second, and what happened."""
    skew = timedelta(milliseconds=draw(st.integers(-999, 999)))
    provider = draw(st.sampled_from(("north", "south")))
    return skew, draw(st.lists(events(provider, skew), min_size=1, max_size=8))


async def live_through(
    bench: "Bench",
    skew: timedelta,
    history: list[Event],
    rows: Callable[[Event], list[Row]],
    *,
    status: str = "succeeded",
    posted: bool = True,
    quiet: bool,
) -> None:
    """Let the history happen, second by second, reports published as agreed; the first event may go wrong."""
    fake = bench.acquirers[history[0].op.provider]
    begun: set[int] = set()
    settled: set[int] = set()
    for second in range(1, ENDS):
        now = at(second)
        for place, event in enumerate(history):
            if event.op.created <= now and place not in begun:
                begun.add(place)
                await bench.begin(event.op)
            if event.op.settled <= now and place not in settled:
                settled.add(place)
                wrong = place == 0
                await bench.settle(
                    event.op, status=status if wrong else "succeeded", posted=posted or not wrong
                )
        ended = int((now + skew - timedelta(seconds=1) - START).total_seconds()) // 10 - 1
        published = False
        while len(fake.reports) <= ended:
            number = len(fake.reports)
            inside = [event for event in history if at(10 * number) <= event.booked < at(10 * number + 10)]
            fake.publish(number, [row for event in inside for row in rows(event)])
            published = True
        if published or second % 10 == 2:
            await bench.round(second)
            if quiet:
                assert await bench.breaks() == []


@QUICK
@given(drawn=histories())
async def test_what_agrees_never_breaks(make_bench: Any, drawn: tuple[timedelta, list[Event]]) -> None:
    """Not for an instant, whatever lies on which side of a border; and everything is matched once."""
    skew, history = drawn
    async with make_bench() as bench:
        await live_through(bench, skew, history, lambda event: [event.op.row(event.booked)], quiet=True)
        provider = history[0].op.provider
        assert bench.counters.rows == {
            (provider, "matched"): len(history),
            (provider, "broken"): 0,
            **zeros(provider),
        }
        assert await bench.watermark(provider) == 60


def zeros(provider: str) -> dict[tuple[str, str], int]:
    """Return what the other provider's counts are."""
    other = {"north": "south", "south": "north"}[provider]
    return {(other, "matched"): 0, (other, "broken"): 0}


MUTATIONS: dict[str, Callable[[Row], list[Row]]] = {
    "amount": lambda row: [replace(row, amount=row.amount + 1)],
    "currency": lambda row: [replace(row, currency="USD")],
    "fee": lambda row: [replace(row, fee=row.fee + 1)],
    "missing_theirs": lambda _row: [],
    "duplicate": lambda row: [row, row],
}
OURS: dict[str, dict[str, Any]] = {"status": {"status": "failed"}, "missing_ours": {"posted": False}}


@QUICK
@given(drawn=histories(), mutation=st.sampled_from(sorted({*MUTATIONS, *OURS})))
async def test_one_wrong_line_gives_exactly_its_break(
    make_bench: Any, drawn: tuple[timedelta, list[Event]], mutation: str
) -> None:
    """Of the right class and under its own key, and nothing else; one row is broken."""
    skew, history = drawn
    victim = history[0].op

    def rows(event: Event) -> list[Row]:
        row = event.op.row(event.booked)
        return MUTATIONS[mutation](row) if event.op is victim and mutation in MUTATIONS else [row]

    async with make_bench() as bench:
        await live_through(bench, skew, history, rows, **OURS.get(mutation, {}), quiet=False)
        found = await bench.db.rows("SELECT class, key, closed_at FROM reconciliation.break")
        assert [(one["class"], one["key"]) for one in found if one["closed_at"] is None] == [
            (mutation, str(victim.key))
        ]
        assert len(found) == 1
        assert bench.counters.rows[victim.provider, "broken"] == 1
