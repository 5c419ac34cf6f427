"""Fixtures for tests of the ledger."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from .ledgers import Ledger, open_ledger

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb


@pytest_asyncio.fixture(loop_scope="session")
async def ledger(db: "RefpayDb", secrets_folder: Path) -> AsyncIterator[Ledger]:
    """Give a test an empty ledger."""
    async with open_ledger(db, secrets_folder) as opened:
        yield opened


@pytest.fixture(scope="session")
def make_ledger(
    open_db: Callable[[], Any], secrets_folder: Path
) -> Callable[[], AbstractAsyncContextManager[Ledger]]:
    """Return what opens an empty ledger with a database of its own."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Ledger]:
        async with open_db() as db, open_ledger(db, secrets_folder) as found:
            yield found

    return opened
