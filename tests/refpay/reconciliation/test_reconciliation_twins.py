"""The benign twins of a settlement mismatch: what only looks wrong pages nobody, one unit more would.

The alert has no `for`: a difference that is open for one round is a page. So each history is lived through
second by second, and no round may leave one open, be past the due time, or fall behind for 15 minutes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import refpay
from acquirers.operations import Entry, Kind, Status
from acquirers.settlement import Fees
from refpay.costs import METHOD, CostModel

from .bench import FEES, Op, Row, at, capture

if TYPE_CHECKING:
    from .bench import Bench

ENDS: Final = 45
LAG_SECONDS: Final = 900
COSTS: Final = CostModel.load(Path(refpay.__file__).with_name("costs.json"))


@dataclass(frozen=True)
class Twin:
    """What we have, and when (second) which report (from 0) comes with which rows."""

    ops: list[Op]
    reports: Mapping[int, tuple[int, list[Row]]]
    amiss: Callable[[Row], Row]
    found: str


def _over_the_border(kind: str) -> Twin:
    """Settled by our clock in one period, booked by theirs in the next."""
    op = replace(capture("south", second=9.9), kind=kind)
    booked = op.row(at(10.3))
    reports = {0: (11, []), 1: (21, [booked]), 2: (31, []), 3: (41, [])}
    return Twin([op], reports, lambda row: replace(row, amount=row.amount - 1), "amount")


def _late_within_its_time() -> Twin:
    """The first report comes with the second one, just before it is due."""
    op, other = capture("south"), capture("south", 15)
    reports = {0: (19, [op.row()]), 1: (21, [other.row()]), 2: (31, []), 3: (41, [])}
    return Twin([op, other], reports, lambda row: replace(row, currency="USD"), "currency")


def _fees_of_half_a_unit() -> Twin:
    """120 basis points of 125 minor units are 1.5, and of 375 they are 4.5: both round up."""
    ops = [
        capture("south", 3, amount, currency)
        for amount in (125, 375)
        for currency in ("EUR", "USD", "JPY", "KWD")
    ]
    reports = {0: (11, [op.row() for op in ops]), 1: (21, []), 2: (31, []), 3: (41, [])}
    return Twin(ops, reports, lambda row: replace(row, fee=row.fee - 1), "fee")


TWINS: Final = {
    "a capture over the border": _over_the_border("capture"),
    "a refund over the border": _over_the_border("refund"),
    "a report that is late within its time": _late_within_its_time(),
    "fees of half a unit": _fees_of_half_a_unit(),
}
EACH = pytest.mark.parametrize("name", sorted(TWINS))


async def _live_through(bench: "Bench", twin: Twin, change: Callable[[Row], Row]) -> set[str]:
    """Live through a twin with its rows changed; return every class that was open after any round."""
    south, seen = bench.acquirers["south"], set()
    waiting = sorted(twin.ops, key=lambda op: op.settled)
    for second in range(1, ENDS):
        while waiting and waiting[0].settled <= at(second):
            await bench.have(waiting.pop(0))
        for number, (comes, rows) in twin.reports.items():
            if comes == second:
                south.publish(number, [change(row) for row in rows])
        await bench.round(second)
        seen |= {name for name, _, _ in await bench.breaks()}
        progress = (await bench.reconcilers["south"].read_status()).progress
        assert progress.next_due is None or progress.next_due > at(second)
        assert progress.watermark is None or (at(second) - progress.watermark).total_seconds() < LAG_SECONDS
    assert not waiting
    assert await bench.watermark("south") == 40
    return seen


@EACH
async def test_what_only_looks_wrong_pages_nobody(bench: "Bench", name: str) -> None:
    """Nothing is open after any round, and everything is compared in the end."""
    twin = TWINS[name]
    assert await _live_through(bench, twin, lambda row: row) == set()
    assert bench.counters.rows["south", "matched"] == len(twin.ops)
    assert bench.counters.rows["south", "broken"] == 0


@EACH
async def test_the_same_history_with_one_thing_wrong_pages(bench: "Bench", name: str) -> None:
    """One minor unit or one currency is enough, in the same reports."""
    twin = TWINS[name]
    assert await _live_through(bench, twin, twin.amiss) == {twin.found}


@given(
    provider=st.sampled_from(sorted(FEES)),
    currency=st.sampled_from(("EUR", "USD", "JPY", "KWD")),
    amount=st.one_of(st.integers(1, 10**12), st.integers(1, 4000).map(lambda n: 125 * n)),
)
def test_both_sides_round_alike(provider: str, currency: str, amount: int) -> None:
    """The acquirer's own arithmetic and ours agree on every amount, halves included."""
    basis_points, fixed = FEES[provider]
    reported = Fees(basis_points, fixed).fee_minor(_booked(amount, currency))
    assert reported == COSTS.fee_minor(provider, METHOD, currency, amount)


def _booked(amount: int, currency: str) -> Entry:
    return Entry(
        seq=1,
        key="key-1",
        fingerprint="",
        kind=Kind.CAPTURE,
        reference="order-1",
        amount_minor=amount,
        currency=currency,
        card_range="411111",
        status=Status.CAPTURED,
        provider_reference="movement-1",
        parent="",
        reason=None,
        at=0.0,
        movement=1,
    )
