"""A durability setting that is turned off under a running stack pages, and the page ends when it is back."""

import asyncio
from pathlib import Path

import asyncpg

from moneypath.incidents.paging import Pager
from moneypath.path.loader import FILE_NAME, load
from moneypath.stack import secrets
from moneypath.stack.starters import LiveStack, LiveStackSettings
from refstack.live_stack import running_stack

from .conftest import PROJECT

SCALE = 60
ALERT = "MoneyPathDurabilityUnsafe"
# What stands on the server's command line nobody overrides; a role's and a database's value anybody may set.
CHANGES = (
    ("ALTER ROLE refpay_app SET synchronous_commit = off", "ALTER ROLE refpay_app RESET ALL"),
    ("ALTER DATABASE refpay SET synchronous_commit = off", "ALTER DATABASE refpay RESET ALL"),
)


async def change(live: LiveStack, statement: str) -> None:
    """Change a setting as whoever runs the database would."""
    password = secrets.read(live.endpoints.run_folder / "secrets" / "database", "postgres")
    port = live.endpoints.oracle_dsn.rsplit(":", 1)[1].split("/")[0]
    admin = await asyncpg.connect(f"postgresql://postgres:{password}@127.0.0.1:{port}/refpay")
    try:
        await admin.execute(statement)
    finally:
        await admin.close()


async def told(pager: Pager, status: str, roles: set[str], after: int) -> int:
    """Wait until every role was told that the alert has a status; return the last page's number."""
    async with asyncio.timeout(120):
        while roles:
            for page in await pager.pages_after(after, wait_seconds=1):
                after = page.seq
                if any(alert.name == ALERT and alert.status == status for alert in page.alerts):
                    roles.discard(page.role)
    return after


async def test_a_setting_turned_off_pages_until_it_is_back(tmp_path: Path) -> None:
    """Every role is told, for a role's setting and for a database's; nobody has to restart anything."""
    path = load(PROJECT / FILE_NAME)
    (check,) = (check for check in path.checks if check.alerts.violated == ALERT)
    settings = LiveStackSettings(path, tmp_path, SCALE, events_per_second=1)
    async with running_stack(settings, lambda _: None) as live, Pager(live.endpoints.pager) as pager:
        after = 0
        for off, back in CHANGES:
            await change(live, off)
            after = await told(pager, "firing", set(check.roles), after)
            await change(live, back)
            after = await told(pager, "resolved", set(check.roles), after)
