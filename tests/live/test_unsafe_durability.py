"""A durability setting that is turned off under a running stack pages, and the page ends when it is back."""

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest

from moneypath.alerting.facts import describe
from moneypath.alerting.timing import Scale
from moneypath.incidents.paging import Pager
from moneypath.path.loader import FILE_NAME, load
from moneypath.stack import secrets
from moneypath.workflows.live import Live, LiveSettings, running

from .conftest import PROJECT

SCALE = 60
ALERT = "MoneyPathDurabilityUnsafe"


async def change(live: Live, *statements: str) -> None:
    """Change the server's settings as whoever runs it would."""
    password = secrets.read(live.endpoints.run_folder / "secrets" / "database", "postgres")
    port = live.endpoints.oracle_dsn.rsplit(":", 1)[1].split("/")[0]
    admin = await asyncpg.connect(f"postgresql://postgres:{password}@127.0.0.1:{port}/refpay")
    try:
        for statement in (*statements, "SELECT pg_reload_conf()"):
            await admin.execute(statement)
    finally:
        await admin.close()


async def paged(pager: Pager, status: str, roles: set[str]) -> None:
    """Wait until every role was told that the alert has a status."""
    after, missing = 0, set(roles)
    async with asyncio.timeout(60):
        while missing:
            for page in await pager.pages_after(after, wait_seconds=1):
                after = page.seq
                if any(alert.name == ALERT and alert.status == status for alert in page.alerts):
                    missing.discard(page.role)


@pytest.mark.parametrize(
    ("off", "back"),
    [
        ("ALTER SYSTEM SET full_page_writes = off", "ALTER SYSTEM RESET full_page_writes"),
        (
            "ALTER ROLE refpay_app SET synchronous_commit = off",
            "ALTER ROLE refpay_app RESET synchronous_commit",
        ),
    ],
)
async def test_a_setting_turned_off_pages_until_it_is_back(tmp_path: Path, off: str, back: str) -> None:
    """Within the declared time, each role; nobody has to restart anything."""
    path = load(PROJECT / FILE_NAME)
    (fact,) = (fact for fact in describe(path, Scale(SCALE)) if fact.name == ALERT)
    assert fact.detect_within_seconds is not None
    settings = LiveSettings(path, tmp_path, SCALE, events_per_second=1)
    async with running(settings, lambda _: None) as live, Pager(live.endpoints.pager) as pager:
        began = time.monotonic()
        await change(live, off)
        await paged(pager, "firing", set(fact.roles))
        assert time.monotonic() - began <= float(fact.detect_within_seconds)
        await change(live, back)
        await paged(pager, "resolved", set(fact.roles))
