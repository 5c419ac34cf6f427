"""What the live tests share: a stack of real servers in a folder of its own, and silent observers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from moneypath.incidents.events import Event
from moneypath.stack import secrets
from moneypath.stack.starters import LiveStack
from moneypath.workflows.drill_stack import DrillObserver

PROJECT = Path(__file__).parents[2]

MakeViewer = Callable[..., DrillObserver]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here starts real servers."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.fixture
def project() -> Path:
    """The project as it is committed."""
    return PROJECT


@pytest.fixture
def make_observer() -> MakeViewer:
    """Return observers that stay silent unless given something to do."""

    def make(
        ready: Callable[[LiveStack], None] = lambda _: None, event: Callable[[Event], None] = lambda _: None
    ) -> DrillObserver:
        return DrillObserver(announce=lambda _: None, ready=ready, event=event)

    return make


@asynccontextmanager
async def superuser(live: LiveStack) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Yield a connection to the stack's database that may read and lock everything."""
    password = secrets.read(live.endpoints.run_folder / "secrets" / "database", "postgres")
    port = live.endpoints.oracle_dsn.rsplit(":", 1)[1].split("/")[0]
    connection = await asyncpg.connect(f"postgresql://postgres:{password}@127.0.0.1:{port}/refpay")
    try:
        yield connection
    finally:
        await connection.close()
