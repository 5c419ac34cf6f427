"""Stopped at any point and started again: nothing is lost, half applied or stored twice."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from refpay.db.errors import DatabaseUnavailable
from refpay.db.pool import Database
from refpay.reconciliation.rounds import Reconciler

from .bench import FIRST, FakeAcquirer, at, capture

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb

    from .bench import Bench, Op

WITHIN_SECONDS = 120
STATE = (
    "SELECT sequence, state, revision, problem FROM reconciliation.report ORDER BY sequence",
    "SELECT sequence, revision, digest FROM reconciliation.revision ORDER BY 1, 2",
    "SELECT sequence, revision, position, key, amount_minor FROM reconciliation.line ORDER BY 1, 2, 3",
    "SELECT class, key, movement, occurrence, value_minor, closed_at IS NULL AS open"
    " FROM reconciliation.break ORDER BY 1, 2, 3, 4, 6",
    "SELECT sequence, key, ended_at IS NULL AS open FROM reconciliation.awaited ORDER BY 1, 2",
    "SELECT provider, run_sequence, horizon, watermark, next_due FROM reconciliation.progress ORDER BY 1",
)


async def state_of(db: "RefpayDb") -> list[Any]:
    """Return all that is stored, without when."""
    return [await db.rows(query) for query in STATE]


class Dying(Database):
    """Dies at one transaction, counted from the start: before its commit, or just after it."""

    countdown = -1
    after_commit = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """Run a transaction, or die in it."""
        self.countdown -= 1
        dies = self.countdown == 0
        async with super().transaction() as connection:
            yield connection
            if dies and not self.after_commit:
                raise DatabaseUnavailable("died before the commit")
        if dies:
            raise DatabaseUnavailable("died after the commit")


@dataclass
class Story:
    """Good, wrong and corrected reports, taken in by a reconciler that is started anew when it has died."""

    bench: "Bench"
    database: Database
    died: bool = False

    def start(self) -> Reconciler:
        """Return a reconciler that knows nothing but what is stored."""
        bench = self.bench
        source = bench.sources["north"]
        return Reconciler(
            self.database, source, rules=bench.rules, counters=bench.counters, clock=bench.clock
        )

    async def rounds(self, reconciler: Reconciler, second: float) -> Reconciler:
        """Run two rounds at an instant, and what died of them again."""
        self.bench.clock.time = at(second)
        for _ in range(2):
            try:
                await reconciler.run_once()
            except DatabaseUnavailable:
                self.died, reconciler = True, self.start()
                await reconciler.run_once()
        return reconciler

    async def play(self, ops: "list[Op]") -> None:
        """Go through it; the fourth operation is never reported."""
        good, wrong, doubled, _lost, unresolved = ops
        north = self.bench.north
        twice = [doubled.row(), doubled.row(movement="mov_extra")]
        north.publish(0, [good.row(), wrong.row(amount=1)])
        north.publish(1, [*twice, unresolved.row()])
        reconciler = await self.rounds(self.start(), 21)
        north.publish(0, [good.row(), wrong.row()])
        north.publish(2)
        north.publish(3)
        reconciler = await self.rounds(reconciler, 41)
        await self.bench.settle(unresolved)
        await self.rounds(reconciler, 42)


@pytest.mark.parametrize("after_commit", [False, True])
async def test_death_at_some_transactions_ends_in_the_same_state(make_bench: Any, after_commit: bool) -> None:
    """For every ninth transaction of the story; the clock stands where it stood, and so must the rest."""
    await die(make_bench, after_commit=after_commit, step=9)


@pytest.mark.proof
@pytest.mark.parametrize("after_commit", [False, True])
async def test_death_at_any_transaction_ends_in_the_same_state(make_bench: Any, after_commit: bool) -> None:
    """For each transaction of the story in turn."""
    await die(make_bench, after_commit=after_commit, step=1)


async def die(make_bench: Any, *, after_commit: bool, step: int) -> None:
    """Live through the story without a death, and then with one at every `step`th transaction."""
    ops = [capture(second=5), capture(second=6), capture(second=15), capture(second=7)]
    ops.append(replace(capture(second=19), created=at(38)))
    expected: list[Any] | None = None
    for countdown in range(0, 200, step):
        async with make_bench() as bench:
            await bench.have(*ops[:4])
            await bench.begin(ops[4])
            database = await Dying.connect(bench.settings.database, most_connections=2)
            try:
                database.countdown, database.after_commit = countdown, after_commit
                story = Story(bench, database)
                await story.play(ops)
            finally:
                await database.close()
            found = await state_of(bench.db)
        if expected is None:
            expected = found
            assert [row["class"] for row in found[3] if row["open"]] == ["duplicate", "missing_theirs"]
        elif not story.died:
            assert countdown > 10
            return
        assert found == expected, f"after a death in transaction {countdown}"
    raise AssertionError("the story has no end")


@asynccontextmanager
async def running_worker(environment: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a real worker; kill it at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "refpay.worker",
        env={**environment, "PATH": os.defpath},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(WITHIN_SECONDS):
            assert json.loads(await process.stdout.readline())["port"]
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def lines_stored(db: "RefpayDb") -> int:
    """Return how many lines there are."""
    return int((await db.rows("SELECT count(*) AS lines FROM reconciliation.line"))[0]["lines"])


async def test_a_killed_worker_goes_on_where_it_was(
    bench: "Bench", fakes: Mapping[str, FakeAcquirer], fake_environment: dict[str, str]
) -> None:
    """SIGKILL amid the reports, twice: every report once, whole, no break, the watermark at the end."""
    reports, size = 100, 40
    ops = {number: [capture(second=10 * number + 5) for _ in range(size)] for number in range(reports)}
    for mine in ops.values():
        await bench.have(*mine)

    def publish(first: int, end: int) -> None:
        for number in range(first, end):
            fakes["north"].publish(number, [op.row() for op in ops[number]])

    before, announced = 0, 0
    for end in (40, 80):
        # Not all of them: however late it is killed, there is something left.
        publish(announced, end)
        announced = end
        async with running_worker(fake_environment), asyncio.timeout(WITHIN_SECONDS):
            while await lines_stored(bench.db) < before + reports * size // 5:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.005)
        before = await lines_stored(bench.db)
        assert before % size == 0
        assert before < reports * size
    publish(announced, reports)
    async with running_worker(fake_environment), asyncio.timeout(WITHIN_SECONDS):
        while await bench.watermark() != 10 * reports:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)
    assert await lines_stored(bench.db) == reports * size
    revisions = await bench.db.rows("SELECT DISTINCT revision FROM reconciliation.revision")
    assert revisions == [{"revision": 1}]
    assert await bench.breaks() == []


async def test_ten_thousand_lines_are_reconciled_in_seconds(bench: "Bench") -> None:
    """One report of 10,000 lines, and then rounds with nothing new that cost next to nothing."""
    ops = [capture(second=5) for _ in range(10_000)]
    for start in range(0, len(ops), 2500):
        await bench.have(*ops[start : start + 2500])
    bench.north.publish(0, [op.row() for op in ops])
    bench.north.publish(1)
    # Its digest is cached, as a provider would.
    bench.north.reports[FIRST].body = bench.north.body(FIRST)
    begun = time.monotonic()
    await bench.round(21)
    took = time.monotonic() - begun
    assert bench.counters.rows["north", "matched"] == 10_000
    begun = time.monotonic()
    for _ in range(20):
        await bench.reconcilers["north"].run_once()
    idle = (time.monotonic() - begun) / 20
    sys.stdout.write(f"10,000 lines: {took:.2f} s; a round with nothing new: {1000 * idle:.1f} ms\n")
    assert took < 60
