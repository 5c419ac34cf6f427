"""A report is imported in parts: killed at any border of them, it is imported once and as in one part."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refpay.db.errors import DatabaseUnavailable
from refpay.reconciliation import import_parts
from refpay.reconciliation.advancing import advance
from refpay.reconciliation.rounds import Reconciler

from .bench import FIRST, FakeAcquirer, Op, Row, at, capture
from .test_reconciliation_restarts import STATE, WITHIN_SECONDS, Dying, lines_stored, running_worker

if TYPE_CHECKING:
    from .bench import Bench

# Beside what every restart leaves alike: entries once for each revision, currency and pair, at one instant.
ENTRIES = """
    SELECT entry.kind, entry.accounts, entry.currencies, entry.amounts_minor,
           revision.sequence, revision.revision
    FROM ledger.entry LEFT JOIN reconciliation.revision ON revision.received_at = entry.posted_at
    WHERE entry.kind IN ('fee', 'fx') ORDER BY 5, 6, 1, 3, 4
"""
IMPORTS = """
    SELECT sequence, revision, replaces, stored, compared, ended_at IS NULL AS open
    FROM reconciliation.import ORDER BY 1, 2
"""
WRONG: tuple[Callable[[Row], list[Row]], ...] = (
    lambda row: [row],
    lambda row: [row],
    lambda row: [replace(row, amount=row.amount + 1)],
    lambda row: [row, replace(row, movement="mov_extra")],
    lambda row: [replace(row, fee=row.fee + 1)],
    lambda row: [replace(row, settled=("USD", 2 * row.amount))],
    lambda _row: [],
)


async def tell(bench: "Bench") -> list[Any]:
    """Return all that is stored, without when."""
    return [await bench.db.rows(query) for query in (*STATE, ENTRIES, IMPORTS)]


async def live(
    bench: "Bench", ops: list[Op], wrong: list[int], *, dies_at: int = 0, after: bool = False
) -> bool:
    """Import a report, then its correction, by a process that dies once; return whether it died."""
    await bench.have(*ops)
    rows = [row for op, kind in zip(ops, wrong, strict=True) for row in WRONG[kind](op.row())]
    # Some lines of one key lie in two parts.
    bench.north.publish(0, rows[::2] + rows[1::2])
    bench.north.publish(1)
    database = await Dying.connect(bench.settings.database, most_connections=2)
    database.countdown, database.after_commit = dies_at or -1, after
    died = False

    def start() -> Reconciler:
        return Reconciler(
            database, bench.sources["north"], rules=bench.rules, counters=bench.counters, clock=bench.clock
        )

    reconciler = start()
    try:
        for second, correct in ((21, False), (31, True)):
            bench.clock.time = at(second)
            if correct:
                bench.north.publish(0, [op.row() for op in ops[1:]])
            for _ in range(2):
                try:
                    await reconciler.run_once()
                except DatabaseUnavailable:
                    died, reconciler = True, start()
                    await reconciler.run_once()
    finally:
        await database.close()
    return died


def of(count: int) -> list[Op]:
    """Return captures of one period."""
    return [capture(second=5 + place % 400 / 100) for place in range(count)]


@pytest.mark.parametrize("after_commit", [False, True])
async def test_a_death_at_any_border_of_parts_ends_as_one_part(
    make_bench: Any, monkeypatch: pytest.MonkeyPatch, after_commit: bool
) -> None:
    """Each transaction in turn, with parts of two lines: the same lines, entries, breaks and progress."""
    ops, wrong = of(7), [0, 2, 3, 4, 5, 6, 1]
    async with make_bench() as bench:
        assert not await live(bench, ops, wrong)
        expected, counted = await tell(bench), bench.counters.rows
        assert [row["revision"] for row in expected[1] if row["sequence"] == expected[1][0]["sequence"]] == [
            1,
            2,
        ]
    monkeypatch.setattr(import_parts, "PART_LINES", 2)
    for dies_at in range(0, 200, 3):
        async with make_bench() as bench:
            died = await live(bench, ops, wrong, dies_at=dies_at, after=after_commit)
            assert await tell(bench) == expected, f"after a death in transaction {dies_at}"
            if not dies_at:
                assert bench.counters.rows == counted
        if dies_at and not died:
            assert dies_at > 20
            return
    raise AssertionError("the story has no end")


QUICK = settings(
    max_examples=settings().max_examples // 12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUICK
@given(
    wrong=st.lists(st.integers(0, len(WRONG) - 1), min_size=2, max_size=9),
    part=st.integers(1, 5),
    dies_at=st.integers(1, 40),
    after=st.booleans(),
)
async def test_parts_of_any_size_and_any_death_end_as_one_part(
    make_bench: Any, wrong: list[int], part: int, dies_at: int, after: bool
) -> None:
    """Whatever is wrong in the lines, and wherever the borders lie."""
    ops = of(len(wrong))
    async with make_bench() as bench:
        await live(bench, ops, wrong)
        expected = await tell(bench)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_parts, "PART_LINES", part)
        async with make_bench() as bench:
            await live(bench, ops, wrong, dies_at=dies_at, after=after)
            assert await tell(bench) == expected


async def die_after_the_first_part(bench: "Bench", second: float) -> None:
    """Run a round of a process that dies after its sixth COMMIT: in a fresh import, of the first part."""
    database = await Dying.connect(bench.settings.database, most_connections=2)
    database.countdown, database.after_commit = 6, True
    bench.clock.time = at(second)
    source = bench.sources["north"]
    one = Reconciler(database, source, rules=bench.rules, counters=bench.counters, clock=bench.clock)
    with pytest.raises(DatabaseUnavailable):
        await one.run_once()
    await database.close()


async def test_nothing_is_told_of_lines_that_are_not_compared(
    bench: "Bench", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two parts: no break of a line that is not stored yet, no entry, no watermark."""
    monkeypatch.setattr(import_parts, "PART_LINES", 2)
    ops = of(6)
    await bench.have(*ops)
    for number in range(3):
        bench.north.publish(number, [op.row() for op in ops] if number == 0 else [])
    reached: list[tuple[int, int]] = []
    while not reached or reached[-1] != (6, 6):
        await die_after_the_first_part(bench, 31)
        query = "SELECT stored, compared FROM reconciliation.import ORDER BY sequence LIMIT 1"
        (row,) = await bench.db.rows(query)
        reached.append((row["stored"], row["compared"]))
        assert await bench.breaks() == []
        if row["compared"] < 6:
            assert await bench.watermark() is None
        entries = await bench.db.rows("SELECT 1 FROM ledger.entry WHERE kind = 'fee'")
        assert len(entries) == (row["stored"] == 6)
    assert reached[:3] == [(2, 0), (4, 0), (6, 0)]
    await bench.round(31)
    assert await bench.breaks() == []
    assert await bench.watermark() == 30
    assert bench.counters.rows["north", "matched"] == 6


async def test_another_process_says_nothing_of_what_is_not_compared(
    bench: "Bench", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes past a report in force, and the watermark stays before it, until it is compared."""
    monkeypatch.setattr(import_parts, "PART_LINES", 2)
    ops = of(6)
    await bench.have(*ops)
    bench.north.publish(0, [op.row(amount=1) for op in ops])
    for _ in range(3):
        await die_after_the_first_part(bench, 21)
    assert await bench.breaks() == []
    async with bench.database.transaction() as connection:
        await advance(connection, "north", rules=bench.rules, now=at(21))
    assert await bench.watermark() is None
    await bench.round(21)
    assert len(await bench.breaks()) == 6
    assert await bench.watermark() == 10
    assert bench.counters.rows["north", "broken"] == 6


async def test_a_report_corrected_amid_its_import_is_imported_as_corrected(
    bench: "Bench", monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was stored of the earlier bytes is never in force, and its revision is not used again."""
    monkeypatch.setattr(import_parts, "PART_LINES", 2)
    ops = of(6)
    await bench.have(*ops)
    bench.north.publish(0, [replace(op.row(), amount=1) for op in ops])
    bench.north.publish(1)
    await die_after_the_first_part(bench, 21)
    assert await lines_stored(bench.db) == 2
    bench.north.publish(0, [op.row() for op in ops])
    await bench.round(22)
    assert await bench.breaks() == []
    revisions = await bench.db.rows("SELECT revision FROM reconciliation.revision ORDER BY sequence")
    assert [row["revision"] for row in revisions] == [2, 1]
    assert bench.counters.rows["north", "matched"] == 6
    assert await bench.watermark() == 20


async def test_a_killed_worker_imports_a_large_report_once(
    bench: "Bench", fakes: Mapping[str, FakeAcquirer], fake_environment: dict[str, str]
) -> None:
    """SIGKILL amid one report of several parts: whole, once, its fees once, no break."""
    ops = of(2 * import_parts.PART_LINES + 7)
    for start in range(0, len(ops), 2500):
        await bench.have(*ops[start : start + 2500])
    fakes["north"].publish(0, [op.row() for op in ops])
    fakes["north"].publish(1)
    # Its digest is cached, as a provider would.
    fakes["north"].reports[FIRST].body = fakes["north"].body(FIRST)
    async with running_worker(fake_environment) as worker, asyncio.timeout(WITHIN_SECONDS):
        while await lines_stored(bench.db) == 0:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
    assert await lines_stored(bench.db) % import_parts.PART_LINES in (0, 7)
    async with running_worker(fake_environment), asyncio.timeout(2 * WITHIN_SECONDS):
        while await bench.watermark() != 20:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)
    assert await lines_stored(bench.db) == len(ops)
    assert Counter(row["kind"] for row in await bench.db.rows(ENTRIES)) == {"fee": 1}
    assert await bench.breaks() == []
