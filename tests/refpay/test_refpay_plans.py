"""No plan rests on statistics: in a database that has none, each look-up is by its key."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import pytest_asyncio

from refpay.db.pool import Database, plan_by_key
from refpay.operations import checks_repository
from refpay.operations.checks_plans import plan_id_ranges
from refpay.reconciliation import evidence_repository

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from refpay.settings import Settings


@pytest_asyncio.fixture(loop_scope="session")
async def database(settings: "Settings") -> "AsyncIterator[Database]":
    """Connect as the worker does."""
    found = await Database.connect(settings.database, most_connections=2)
    yield found
    await found.close()


async def explain(connection: Any, query: str, *given: object) -> list[str]:
    """Return the lines of a plan."""
    return [row[0] for row in await connection.fetch(f"EXPLAIN {query}", *given)]


@pytest.mark.parametrize("name", ["_THEIRS", "_OURS", "_CHARGEBACKS", "_NOT_SUCCEEDED"])
async def test_the_keys_of_a_part_are_looked_up_one_by_one(database: Database, name: str) -> None:
    """Not all lines of a report for the keys of each part, which took the square of its lines."""
    async with database.transaction() as connection:
        await plan_by_key(connection)
        plan = await explain(connection, getattr(evidence_repository, name), "north", [])
    found = "\n".join(plan)
    assert "Seq Scan" not in found
    assert "Hash" not in found
    assert ("line_of_key" if name == "_THEIRS" else "operation_provider_key_key") in found
    assert "line_pkey" not in found


async def test_an_id_range_is_hashed_and_read_by_its_ids(database: Database) -> None:
    """The twin without the settings reads all of a partial index, or compares every pair."""
    given = (datetime.now(UTC), UUID(int=0), UUID(int=1))
    async with database.transaction() as connection:
        usual = "\n".join(await explain(connection, checks_repository._ID_RANGE, *given))
        await plan_id_ranges(connection)
        fixed = "\n".join(await explain(connection, checks_repository._ID_RANGE, *given))
    assert "Bitmap" in usual
    assert "Nested Loop Anti Join" in usual
    assert "Bitmap" not in fixed
    assert "Nested Loop Anti Join" not in fixed
    assert "Hash" in fixed
