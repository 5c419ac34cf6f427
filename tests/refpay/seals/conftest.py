"""Fixtures for tests of what both chains have in common."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from .books import CHAINS, Book, open_book

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb


@pytest_asyncio.fixture(params=list(CHAINS), loop_scope="session")
async def book(
    request: pytest.FixtureRequest, db: "RefpayDb", secrets_folder: Path, tmp_path: Path
) -> AsyncIterator[Book]:
    """Give a test an empty ledger, and then an empty audit trail."""
    async with open_book(CHAINS[request.param], db, secrets_folder, tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def trail(db: "RefpayDb", secrets_folder: Path, tmp_path: Path) -> AsyncIterator[Book]:
    """Give a test an empty audit trail."""
    async with open_book(CHAINS["audit"], db, secrets_folder, tmp_path) as opened:
        yield opened
