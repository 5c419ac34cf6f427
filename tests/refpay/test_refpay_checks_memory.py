"""A restarted worker goes on from what the checks have read, and nobody can use that to hide an entry."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from refpay.db.pool import Database
from refpay.operations import checks as rounds
from refpay.operations.checks import Checks, IntegrityReport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.refpay.conftest import Client, RefpayDb

    from refpay.settings import Settings

PAYMENTS = 8
UNBALANCE = (
    "UPDATE ledger.entry SET amounts_minor[2] = amounts_minor[2] + 7 WHERE kind = 'posting'"
    " AND id = (SELECT id FROM ledger.entry WHERE kind = 'posting' ORDER BY id OFFSET 4 LIMIT 1)"
)
# As the service's own role may write it: dated like an old entry, for an operation that there never was.
FORGE = """
    INSERT INTO ledger.entry (
        id, kind, operation_id, payment_id, posted_at, accounts, currencies, amounts_minor)
    SELECT (left(id::text, 24) || right(gen_random_uuid()::text, 12))::uuid, kind, gen_random_uuid(),
           payment_id, posted_at, accounts, currencies, amounts_minor
    FROM ledger.entry WHERE kind = 'posting' ORDER BY id OFFSET 4 LIMIT 1
"""


@dataclass
class Clock:
    """Now is an hour on, so that every payment is older than the deadline; measured time stands still."""

    offset: timedelta = timedelta(hours=1)
    elapsed: float = 0.0

    def now(self) -> datetime:
        """Return the time by it."""
        return datetime.now(UTC) + self.offset

    def monotonic(self) -> float:
        """Return what the test has set."""
        return self.elapsed


@pytest.fixture(autouse=True)
def _keep_each_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what was read after each range, so that a process that dies has noted it."""
    monkeypatch.setattr(rounds, "KEEP_SECONDS", 0.0)


@pytest_asyncio.fixture(loop_scope="session")
async def database(live_settings: "Settings") -> "AsyncIterator[Database]":
    """Connect as the worker does."""
    found = await Database.connect(live_settings.database, most_connections=2)
    yield found
    await found.close()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the id ranges that are read."""
    counted: list[int] = []
    read = Checks._read

    async def counting(self: Checks, place: int, posted_before: datetime) -> None:
        counted.append(place)
        await read(self, place, posted_before)

    monkeypatch.setattr(Checks, "_read", counting)
    return counted


def start(database: Database, kept: Path, clock: Clock | None = None, **given: Any) -> Checks:
    """Return the checks of a new process: two rows an id range, one id range a sweep."""
    return Checks(
        database,
        clock=clock or Clock(),
        outcome_deadline=timedelta(seconds=2),
        id_range_rows=2,
        sweep_seconds=0.0,
        kept=kept,
        **given,
    )


def found(report: IntegrityReport) -> dict[str, int]:
    """Return findings by reason."""
    result: dict[str, int] = {}
    for one in report.at_risk:
        result[one.reason.value] = result.get(one.reason.value, 0) + one.findings
    return result


async def read_whole(api: "Client", database: Database, kept: Path) -> IntegrityReport:
    """Have payments, and let a process read them all and note it."""
    for _ in range(PAYMENTS):
        await api.captured()
    report = await start(database, kept).run_once()
    assert found(report) == {}
    assert kept.exists()
    return report


def only_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no time for reading: what has to be read before an answer is, and one range more."""
    monkeypatch.setattr(rounds, "CATCH_UP_SECONDS", 0.0)
    monkeypatch.setattr(Checks, "_sweep", lambda *_: asyncio.sleep(0))


async def test_a_new_process_answers_before_it_reads_and_says_how_old_that_is(
    api: "Client", database: Database, tmp_path: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the open range and the oldest reading; then the others again, until all are new."""
    before = await read_whole(api, database, tmp_path / "kept")
    only_answer(monkeypatch)
    ranges = len(json.loads((tmp_path / "kept").read_text())["ranges"])
    assert ranges > 4
    reads.clear()
    checks = start(database, tmp_path / "kept")
    report = await checks.run_once()
    assert sorted(reads) == [0, ranges - 1]
    assert before.at <= report.read_since < report.at
    monkeypatch.setattr(rounds, "CATCH_UP_SECONDS", 1.0)
    assert (await checks.run_once()).read_since > report.at
    assert set(reads) == set(range(ranges))


async def test_without_a_file_everything_is_read_first(
    api: "Client", database: Database, tmp_path: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: a first start, and one whose file is not as it was written."""
    before = await read_whole(api, database, tmp_path / "kept")
    only_answer(monkeypatch)
    kept = json.loads((tmp_path / "kept").read_text())
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    wrong: list[object] = [
        None,
        {},
        {**kept, "ranges": kept["ranges"][1:]},
        {**kept, "ranges": list(reversed(kept["ranges"]))},
        {**kept, "at": later},
        {**kept, "database": "1 2"},
        {**kept, "touched": "another"},
        # Readings from a time to come do not count.
        {**kept, "ranges": [[place, later, []] for place, _, _ in kept["ranges"]]},
    ]
    for one in wrong:
        (tmp_path / "kept").write_text(json.dumps(one)[: None if one else 2])
        reads.clear()
        report = await start(database, tmp_path / "kept").run_once()
        assert set(reads) == set(range(len(kept["ranges"]))), one
        assert report.read_since > before.at


async def test_a_finding_is_told_at_once_by_the_next_process(
    api: "Client", database: Database, db: "RefpayDb", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its range is read in every round, also the first; mended, it is gone at once."""
    await read_whole(api, database, tmp_path / "kept")
    await db.tamper(
        "DROP INDEX payments.payment_live_reference; UPDATE payments.payment SET merchant_reference = 'twice'"
    )
    checks = start(database, tmp_path / "kept")
    await checks.run_once()
    only_answer(monkeypatch)
    again = start(database, tmp_path / "kept")
    assert found(await again.run_once()) == {"duplicate_charge": PAYMENTS - 1}
    await db.tamper("UPDATE payments.payment SET merchant_reference = 'once' || id")
    assert found(await again.run_once()) == {}


@pytest.mark.parametrize("counted_later", [False, True])
async def test_a_hand_in_the_ledger_while_no_worker_ran_is_found_before_anything_is_told(
    api: "Client",
    database: Database,
    db: "RefpayDb",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    counted_later: bool,
) -> None:
    """The server's counters differ, so nothing that was kept counts; nor if a process saw that and died."""
    await read_whole(api, database, tmp_path / "kept")
    await db.tamper(UNBALANCE)
    seen = "SELECT 1 FROM pg_stat_user_tables WHERE schemaname = 'ledger' AND n_tup_upd > 0"
    async with asyncio.timeout(30):
        while not await db.rows(seen):  # noqa: ASYNC110 - the server's counters have no event
            await asyncio.sleep(0.02)
    only_answer(monkeypatch)
    if counted_later:
        # A process that was running notes the new counters before it has read what they are about.
        (kept := tmp_path / "kept").unlink()
        with monkeypatch.context() as patch:
            patch.setattr(Checks, "_read", _die_at_the_third_range())
            with pytest.raises(RuntimeError):
                await start(database, kept).run_once()
    assert found(await start(database, tmp_path / "kept").run_once()) == {"ledger_imbalance": 1}


def _die_at_the_third_range() -> Any:
    read, left = Checks._read, iter(range(2))

    async def reading(self: Checks, place: int, posted_before: datetime) -> None:
        if next(left, None) is None:
            raise RuntimeError
        await read(self, place, posted_before)

    return reading


async def test_a_change_that_a_running_process_saw_and_did_not_read_is_read_first_by_the_next(
    api: "Client", database: Database, db: "RefpayDb", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It notes the counters as they are now, and which readings are from before."""
    await read_whole(api, database, tmp_path / "kept")
    running = start(database, tmp_path / "kept")
    await running.run_once()
    only_answer(monkeypatch)
    await db.tamper(UNBALANCE)
    before = json.loads((tmp_path / "kept").read_text())["touched"]
    async with asyncio.timeout(30):
        while json.loads((tmp_path / "kept").read_text())["touched"] == before:
            assert found(await running.run_once()) == {}
    assert found(await start(database, tmp_path / "kept").run_once()) == {"ledger_imbalance": 1}


async def test_an_entry_forged_by_the_service_s_role_while_no_worker_ran_is_found(
    api: "Client", database: Database, db: "RefpayDb", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dated into an old range, which was read: no counter tells, and the reading again does."""
    await read_whole(api, database, tmp_path / "kept")
    await db.allow_uncaused()
    await db.rows(FORGE, role="refpay_app")
    only_answer(monkeypatch)
    checks = start(database, tmp_path / "kept")
    first = await checks.run_once()
    assert found(first) == {}
    assert first.read_since < first.at
    monkeypatch.setattr(rounds, "CATCH_UP_SECONDS", 1.0)
    assert found(await checks.run_once()) == {"posting_without_capture": 1}


async def test_a_first_reading_that_is_killed_goes_on(
    api: "Client", database: Database, tmp_path: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before the first answer counts for the next process; it reads the rest first."""
    for _ in range(PAYMENTS):
        await api.captured()
    only_answer(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(Checks, "_read", _die_at_the_third_range())
        with pytest.raises(RuntimeError):
            await start(database, tmp_path / "kept").run_once()
    kept = json.loads((tmp_path / "kept").read_text())["ranges"]
    unread = {place for place, (_, read_at, _) in enumerate(kept) if read_at is None}
    assert 0 < len(unread) < len(kept)
    reads.clear()
    await start(database, tmp_path / "kept").run_once()
    assert unread | {len(kept) - 1} <= set(reads) < set(range(len(kept)))


async def test_a_folder_that_cannot_be_written_stops_no_check(
    api: "Client", database: Database, tmp_path: Path
) -> None:
    """The next process reads everything, as without the file."""
    await api.captured()
    assert found(await start(database, tmp_path / "missing" / "kept").run_once()) == {}
