"""What the tests of the wallet share: its folder, a database with its tables, and its books."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from tests.oracle.conftest import postgres_socket
from wallet.booking import Books
from wallet.measures import API, Measures
from wallet.tables import create

__all__ = ["postgres_socket"]

BANKS = ("giro", "norde")


@pytest.fixture
def database(postgres_socket: Path) -> Iterator[str]:
    """Return the address of a fresh database with the wallet's tables."""
    name = f"wallet_{uuid.uuid4().hex[:8]}"
    admin = create_engine(
        f"postgresql+psycopg://owner@/postgres?host={postgres_socket}", isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    url = f"postgresql+psycopg://owner@/{name}?host={postgres_socket}"
    engine = create_engine(url)
    create(engine, writer="owner", reader="owner")
    engine.dispose()
    yield url
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
async def books(database: str) -> AsyncIterator[Books]:
    """Return the wallet's books on that database."""
    engine = create_async_engine(database, pool_size=10)
    yield Books(async_sessionmaker(engine, expire_on_commit=False), Measures("wallet-api", BANKS, API))
    await engine.dispose()
