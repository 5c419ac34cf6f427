"""Processes are killed for real under load; afterwards every unit of money is still accounted for.

A process crash is not a power cut: what the operating system had taken over survives these tests.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from moneypath import oracle
from moneypath.drills.load import LoadPlan
from moneypath.drills.scenario import Load
from moneypath.drills.truth import hear_witnesses
from moneypath.path.loader import FILE_NAME, load
from moneypath.workflows.live import Live, LiveSettings, running

LOAD = Load(checkouts_per_second=20, users=20, card_ranges={"411111": 7, "550000": 3})
PATIENCE_SECONDS = 60.0


def _successes(journal: Path) -> int:
    return sum('"succeeded"' in line for line in journal.read_text().splitlines())


async def _until(holds: Callable[[], bool], what: str) -> None:
    """Poll another process's file: there is no event to await."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s for {what}"
        await asyncio.sleep(0.05)


async def _more(journal: Path, count: int) -> None:
    """Wait for that many further successes in the client's own journal."""
    wanted = _successes(journal) + count
    await _until(lambda: _successes(journal) >= wanted, f"{count} more successes")


@pytest.mark.parametrize("seed", [11])
async def test_sigkill_of_api_and_database_in_turn_loses_and_doubles_nothing(
    project: Path, tmp_path: Path, seed: int
) -> None:
    """API, PostgreSQL and API again are killed under load; the oracle finds the witnesses in agreement."""
    settings = LiveSettings(load(project / FILE_NAME), tmp_path, scale=60)
    async with running(settings, lambda _: None) as live:
        plan = LoadPlan(project, live.endpoints, tmp_path / "journal.jsonl", LOAD, seed)
        await live.supervisor.start(plan.spec())
        journal = plan.journal_file
        for victim in ("refpay-api", "postgres", "refpay-worker", "postgres", "refpay-api"):
            await _more(journal, 40)
            await live.supervisor.kill(victim)
            await live.supervisor.restart(victim)
        await _more(journal, 40)
        await live.supervisor.stop("load")
        verdict = await _audit(live, journal)
    assert verdict.whole, verdict.summary()
    assert verdict.rows.posted_captures >= 60


async def _audit(live: Live, journal: Path) -> oracle.Verdict:
    await oracle.await_drained(live.endpoints.oracle_dsn, PATIENCE_SECONDS)
    return await hear_witnesses(live.endpoints, journal)
