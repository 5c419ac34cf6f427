"""The fixtures of this room: a ledger."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from .books import Ledger, open_ledger

if TYPE_CHECKING:
    from tests.refpay.conftest import Book


@pytest_asyncio.fixture(loop_scope="session")
async def ledger(book: "Book", secrets_folder: Path) -> AsyncIterator[Ledger]:
    """Give a test an empty ledger."""
    async with open_ledger(book, secrets_folder) as opened:
        yield opened


@pytest.fixture(scope="session")
def make_ledger(
    open_book: Callable[[], Any], secrets_folder: Path
) -> Callable[[], AbstractAsyncContextManager[Ledger]]:
    """Return what opens an empty ledger with a database of its own."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Ledger]:
        async with open_book() as book, open_ledger(book, secrets_folder) as found:
            yield found

    return opened
