"""Rounds on a real database against real sockets: what is taken in, what breaks, what closes by itself."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from .bench import FIRST, Op, Served, at, capture

if TYPE_CHECKING:
    from .bench import Bench

BOTH = pytest.mark.parametrize("provider", ["north", "south"])


@BOTH
async def test_what_agrees_is_matched_and_the_watermark_moves(bench: "Bench", provider: str) -> None:
    """Captures and a refund in every currency: no break, every row counted once, empty reports included."""
    ops = [
        capture(provider, 3, 123456 + n, currency) for n, currency in enumerate(("EUR", "USD", "JPY", "KWD"))
    ]
    ops.append(replace(capture(provider, 4, 500), kind="refund"))
    await bench.have(*ops)
    fake = bench.acquirers[provider]
    fake.publish(0, [op.row() for op in ops])
    fake.publish(1)
    assert await bench.round(21) == {"north": True, "south": True}
    assert await bench.breaks() == []
    assert bench.counters.rows[provider, "matched"] == 5
    assert bench.counters.rows[provider, "broken"] == 0
    assert bench.counters.reports[provider, "accepted"] == 2
    assert await bench.watermark(provider) == 20
    due = (await bench.reconcilers[provider].read_status()).progress.next_due
    assert due == at(40)
    await bench.round(22)
    assert fake.fetched == {0: 1, 1: 1}
    assert bench.counters.rows[provider, "matched"] == 5


def _changes(op: Op) -> dict[str, Any]:
    row = op.row()
    return {
        "amount": ([replace(row, amount=row.amount + 7)], ("amount", "EUR", 7)),
        "kind": ([replace(row, kind="refund")], ("amount", "EUR", 2000)),
        "currency": ([replace(row, currency="USD")], ("currency", "EUR", 1000)),
        "fee": ([replace(row, fee=row.fee + 3)], ("fee", "EUR", 3)),
        "missing": ([], ("missing_theirs", "EUR", 1000)),
        "stated twice": ([row, row], ("duplicate", "EUR", 1000)),
        "booked twice": ([replace(row, movement="mov_other"), row], ("duplicate", "EUR", 1000)),
    }


@BOTH
@pytest.mark.parametrize("change", sorted(_changes(capture())))
async def test_a_wrong_line_breaks_and_a_corrected_report_closes_it(
    bench: "Bench", provider: str, change: str
) -> None:
    """Each class with its value, in a report that agrees with itself; corrected, it closes for good."""
    op, other = capture(provider), capture(provider, 6)
    await bench.have(op, other)
    fake = bench.acquirers[provider]
    rows, expected = _changes(op)[change]
    fake.publish(0, [*rows, other.row()])
    fake.publish(1)
    fake.publish(2)
    await bench.round(31)
    assert await bench.breaks() == [expected]
    assert bench.counters.rows[provider, "broken"] == 1
    await bench.round(32)
    assert await bench.breaks() == [expected]
    fake.publish(0, [op.row(), other.row()])
    await bench.round(33)
    assert await bench.breaks() == []
    assert bench.counters.reports[provider, "accepted"] == 4
    closed = await bench.db.rows("SELECT closed_at FROM reconciliation.break")
    assert closed == [{"closed_at": at(33)}]


async def test_what_they_report_and_we_do_not_have_is_missing_ours(bench: "Bench") -> None:
    """A key that nobody knows, one that is none, another provider's, and a capture that was never posted."""
    unposted, elsewhere = capture("north"), capture("south")
    await bench.begin(unposted)
    await bench.settle(unposted, posted=False)
    await bench.have(elsewhere)
    stranger = capture("north", 5, 11)
    rows = [
        stranger.row(),
        stranger.row(key="not-a-key", movement="m2", amount=12),
        stranger.row(key=str(stranger.key).upper(), movement="m3", amount=13),
        elsewhere.row(amount=14),
        unposted.row(),
    ]
    bench.north.publish(0, rows)
    await bench.round(11)
    assert [(one[0], one[2]) for one in await bench.breaks()] == [
        ("missing_ours", value) for value in (11, 12, 13, 14, 1000)
    ]


async def test_missing_ours_closes_when_ours_appears(bench: "Bench") -> None:
    """A posting that comes late closes its break at the next round, with no new report."""
    op = capture()
    bench.north.publish(0, [op.row()])
    await bench.round(11)
    assert await bench.breaks() == [("missing_ours", "EUR", 1000)]
    await bench.have(op)
    await bench.round(12)
    assert await bench.breaks() == []


@pytest.mark.parametrize("status", ["failed", "declined"])
async def test_what_they_moved_and_we_gave_up_is_a_status_break(bench: "Bench", status: str) -> None:
    """With the value that they moved."""
    op = capture()
    await bench.begin(op)
    await bench.settle(op, status=status)
    bench.north.publish(0, [op.row()])
    await bench.round(11)
    assert await bench.breaks() == [("status", "EUR", 1000)]
    assert await bench.watermark() == 10


async def test_what_is_still_open_is_awaited_and_then_a_status_break(bench: "Bench") -> None:
    """In flight: no break, not counted, the watermark waits; past its deadline: a break; settled: none."""
    op, early = capture(second=9), capture(second=12)
    op = replace(op, created=at(8.5))
    await bench.begin(op, early)
    bench.north.publish(0, [])
    bench.north.publish(1, [op.row(at(10)), early.row()])
    await bench.settle(early)
    await bench.round(18.4)
    assert await bench.breaks() == []
    assert await bench.watermark() == 10
    assert bench.counters.rows["north", "matched"] == 1
    await bench.round(18.6)
    assert (await bench.breaks(), await bench.watermark()) == ([("status", "EUR", 1000)], 20)
    assert bench.counters.rows["north", "broken"] == 1
    await bench.settle(op)
    await bench.round(19)
    assert await bench.breaks() == []
    assert (bench.counters.rows["north", "matched"], bench.counters.rows["north", "broken"]) == (1, 1)


async def test_an_awaited_line_that_settles_in_time_is_matched_once(bench: "Bench") -> None:
    """It is counted when it can be compared, and never again."""
    op = capture(second=9)
    await bench.begin(op)
    bench.north.publish(0, [op.row()])
    await bench.round(11)
    assert (await bench.watermark(), bench.counters.rows["north", "matched"]) == (None, 0)
    await bench.settle(op)
    for second in (12, 13):
        await bench.round(second)
        assert (await bench.watermark(), bench.counters.rows["north", "matched"]) == (10, 1)


async def test_the_neighbour_report_is_no_break(bench: "Bench") -> None:
    """Booked over the border on either side; missing once the report after the last possible one came."""
    before, after = capture(second=10.2), capture(second=9.9)
    before = replace(before, created=at(9.8))
    await bench.have(before, after)
    bench.north.publish(0, [before.row(at(9.95))])
    await bench.round(11)
    assert await bench.breaks() == []
    bench.north.publish(1, [after.row(at(10.3))])
    await bench.round(21)
    assert await bench.breaks() == []
    lost = capture(second=25)
    await bench.have(lost)
    bench.north.publish(2)
    await bench.round(31)
    assert await bench.breaks() == []
    bench.north.publish(3)
    await bench.round(41)
    assert await bench.breaks() == [("missing_theirs", "EUR", 1000)]
    bench.north.publish(4, [lost.row(at(45))])
    await bench.round(51)
    assert await bench.breaks() == []


async def test_a_line_that_is_taken_back_is_missing_only_when_it_has_to_be_there(bench: "Bench") -> None:
    """A correction may move it to the next report; without it there, it is missing."""
    op = capture()
    await bench.have(op)
    bench.north.publish(0, [op.row()])
    await bench.round(11)
    bench.north.publish(0)
    await bench.round(12)
    assert await bench.breaks() == []
    bench.north.publish(1)
    await bench.round(21)
    assert await bench.breaks() == [("missing_theirs", "EUR", 1000)]


async def test_a_line_that_is_taken_back_too_late_is_missing_at_once(bench: "Bench") -> None:
    """And a break that it had is closed: nothing else than the correction tells."""
    op, amiss = capture(), capture(second=6)
    stranger = capture(amount=5)
    await bench.have(op, amiss)
    bench.north.publish(0, [op.row(), amiss.row(), stranger.row()])
    bench.north.publish(1)
    await bench.round(21)
    assert await bench.breaks() == [("missing_ours", "EUR", 5)]
    bench.north.publish(0, [amiss.row()])
    await bench.round(22)
    assert await bench.breaks() == [("missing_theirs", "EUR", 1000)]


async def test_a_number_that_is_skipped_stops_the_run(bench: "Bench") -> None:
    """The watermark does not pass what was never announced, and does when it is."""
    for sequence in (0, 2):
        bench.north.publish(sequence)
    await bench.round(31)
    assert await bench.watermark() == 10
    bench.north.publish(1)
    await bench.round(32)
    assert await bench.watermark() == 30


async def test_a_second_booking_is_a_duplicate_until_its_refund_is_reported(bench: "Bench") -> None:
    """Over two reports; the movement that we know of is the good one; a refund of other money is none."""
    op, repair = capture(), capture(second=25)
    await bench.have(op)
    extra = op.row(at(4), movement="mov_extra")
    bench.north.publish(0, [extra])
    await bench.round(11)
    assert await bench.breaks() == []
    bench.north.publish(1, [op.row(at(10.5))])
    await bench.round(21)
    assert await bench.breaks() == [("duplicate", "EUR", 1000)]
    found = await bench.db.rows("SELECT movement, key FROM reconciliation.break WHERE closed_at IS NULL")
    assert found == [{"movement": "mov_extra", "key": str(op.key)}]
    await bench.db.rows(
        "INSERT INTO reconciliation.repair VALUES ('north', 'mov_extra', $1, $2, 1000, 'EUR', $3)",
        str(op.key), str(repair.key), at(22),
    )  # fmt: skip
    await bench.round(23)
    assert await bench.breaks() == [("duplicate", "EUR", 1000)]
    refund = replace(repair, kind="refund").row()
    bench.north.publish(2, [replace(refund, amount=999)])
    await bench.round(31)
    assert await bench.breaks() == [("duplicate", "EUR", 1000), ("missing_ours", "EUR", 999)]
    bench.north.publish(2, [refund])
    await bench.round(32)
    assert await bench.breaks() == []


@BOTH
async def test_a_truncated_report_is_invalid_until_it_is_whole(bench: "Bench", provider: str) -> None:
    """Counted once, kept as state, tried again each round; what was accepted before stays in force."""
    op, later = capture(provider), capture(provider, 15)
    await bench.have(op, later)
    fake = bench.acquirers[provider]
    fake.publish(0, [op.row()])
    await bench.round(11)
    fake.truncated = True
    fake.publish(1, [later.row()])
    for second in (21, 22):
        assert (await bench.round(second))[provider]
    assert bench.counters.reports[provider, "invalid"] == 2
    assert fake.fetched[1] == 2
    assert await bench.watermark(provider) == 10
    assert len(await bench.db.rows("SELECT 1 FROM reconciliation.line")) == 1
    states = await bench.db.rows(
        "SELECT state, revision, problem FROM reconciliation.report ORDER BY sequence"
    )
    assert [(row["state"], row["revision"]) for row in states] == [("invalid", 1), ("invalid", 0)]
    assert all(row["problem"] for row in states)
    fake.truncated = False
    await bench.round(23)
    assert (await bench.watermark(provider), await bench.breaks()) == (20, [])
    assert fake.fetched == {0: 3, 1: 3}
    assert bench.counters.reports[provider, "accepted"] == 2
    states = await bench.db.rows("SELECT DISTINCT state, problem FROM reconciliation.report")
    assert states == [{"state": "accepted", "problem": None}]


async def test_a_withheld_report_is_late_when_it_comes(bench: "Bench") -> None:
    """While it is withheld the due instant stands still and passes; a report in time is never late."""
    bench.north.publish(0)
    await bench.round(11)
    bench.north.withheld = True
    bench.north.publish(1)
    for second in (21, 31):
        await bench.round(second)
        assert (await bench.reconcilers["north"].read_status()).progress.next_due == at(30)
    assert await bench.watermark() == 10
    bench.north.withheld = False
    await bench.round(32)
    assert bench.counters.reports == {("north", "accepted"): 1, ("north", "late"): 1}
    assert await bench.watermark() == 20


async def test_a_report_that_is_another_ones_is_replayed(bench: "Bench") -> None:
    """By its own number, or by lines that another report has; nothing of it is applied."""
    op = capture(second=9.9)
    await bench.have(op)
    bench.north.publish(0, [op.row(at(10))])
    bench.north.publish(1, [op.row(at(10))])
    bench.north.reports[FIRST + 2] = Served([], number=FIRST + 1)
    await bench.round(31)
    assert bench.counters.reports == {("north", "accepted"): 1, ("north", "replayed"): 2}
    assert (await bench.watermark(), await bench.breaks()) == (10, [])


@BOTH
@pytest.mark.parametrize("flaw", ["period", "totals", "trailer", "empty", "huge", "outside"])
async def test_what_does_not_add_up_is_refused_whole(
    bench: "Bench", provider: str, flaw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The good report next to it is taken."""
    op = capture(provider)
    await bench.have(op)
    fake = bench.acquirers[provider]
    fake.publish(0, [op.row()])
    fake.publish(1, [op.row(at(30))] if flaw == "outside" else [])
    body = fake.body(FIRST)
    wrong = {
        "period": body.replace(b"00:00:10Z", b"00:00:20Z"),
        "totals": body.replace(b"1000", b"1001", 1).replace(b"10.00", b"10.01", 1),
        "trailer": body.replace(b"T,1", b"T,2").replace(b'"lines": 1', b'"lines": 2'),
        "empty": b"",
        "huge": body + b" " * 20_000_000,
        "outside": body,
    }[flaw]
    assert flaw == "outside" or wrong != body
    if flaw != "outside":
        fake.reports[FIRST] = Served([], wrong)
    assert (await bench.round(21))[provider]
    assert bench.counters.reports == {(provider, "invalid"): 1, (provider, "accepted"): 1}
    assert await bench.breaks() == []


async def test_a_gap_stops_the_run_and_not_the_comparison(bench: "Bench") -> None:
    """A later report is compared while an earlier one is bad; nothing counts as missing beyond the gap."""
    early, late = capture(), capture(second=25)
    await bench.have(early, late)
    bench.north.reports[FIRST] = Served([], b"nonsense")
    bench.north.publish(1)
    bench.north.publish(2, [late.row(amount=999)])
    await bench.round(31)
    assert (await bench.watermark(), await bench.breaks()) == (None, [("amount", "EUR", 1)])
    bench.north.publish(0)
    await bench.round(32)
    assert await bench.watermark() == 30
    assert await bench.breaks() == [("amount", "EUR", 1), ("missing_theirs", "EUR", 1000)]


async def test_a_provider_that_is_stuck_or_fails_holds_nobody_up(bench: "Bench") -> None:
    """One that hangs is given up on; one report that cannot be had leaves the others; both are said."""
    op = capture("south")
    await bench.have(op)
    bench.north.stuck = asyncio.Event()
    south = bench.acquirers["south"]
    south.publish(0, [op.row()])
    south.publish(1)
    south.refusing = {FIRST}
    assert await bench.round(21) == {"north": False, "south": False}
    assert bench.counters.reports == {("south", "accepted"): 1}
    bench.north.stuck.set()
    south.refusing.clear()
    assert await bench.round(22) == {"north": True, "south": True}
    assert await bench.watermark("south") == 20


async def test_more_reports_than_a_page_are_all_taken(bench: "Bench") -> None:
    """A long history comes in over several pages; a correction of the oldest is found by and by."""
    op = capture()
    await bench.have(op)
    bench.north.publish(0, [op.row()])
    for sequence in range(1, 450):
        bench.north.publish(sequence)
    for second in range(3):
        await bench.round(4501 + second)
    assert await bench.watermark() == 4500
    bench.north.publish(0, [op.row(amount=900)])
    for second in range(6):
        await bench.round(4510 + second)
    assert await bench.breaks() == [("amount", "EUR", 100)]
    for sequence in (20, 120, 220, 320, 420):
        await bench.db.rows(
            "UPDATE reconciliation.report SET digest = NULL WHERE sequence = $1", FIRST + sequence
        )
        await bench.round(4520)
        assert bench.north.fetched[sequence] == 2
