"""A real PostgreSQL with a ledger that is not ours."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from tests.oracle.conftest import postgres_socket

from .foreign import LEDGER, Connection

__all__ = ["postgres_socket"]


@pytest.fixture
async def owner(postgres_socket: Path) -> AsyncIterator[Connection]:
    """Return the owner of a fresh ledger, which is whole."""
    connection = await asyncpg.connect(host=str(postgres_socket), user="owner", database="postgres")
    await connection.execute(LEDGER)
    yield connection
    await connection.close()


@pytest.fixture
def dsn(postgres_socket: Path) -> str:
    """Return the address of a role that may read the ledger."""
    return f"postgresql://auditor@/postgres?host={postgres_socket}"


@pytest.fixture
async def reader(owner: Connection, dsn: str) -> AsyncIterator[Connection]:
    """Return a connection of that role without any guard but its rights."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()
