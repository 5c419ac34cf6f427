"""A ledger of a test's own, written as the service writes it."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from refpay.db.pool import Database
from refpay.ledger.archiving import archive_months, restore_month
from refpay.ledger.cold_storage import Archive
from refpay.ledger.entries import Entry, Movement, capture_entry
from refpay.ledger.repository import post, read_balances
from refpay.ledger.verification import verify
from refpay.money import Currency, Money
from refpay.seals.verification import VerificationReport
from refpay.settings import DatabaseSettings

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb

START = datetime(2024, 3, 31, 23, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """Return an instant some minutes after the start; the month ends at 60."""
    return START + timedelta(minutes=minutes)


def movement(amount: int, currency: Currency = Currency.EUR, merchant: str = "shop") -> Movement:
    """Return a movement at north, of a payment and an operation of its own."""
    return Movement(uuid4(), uuid4(), "north", merchant, Money(amount, currency))


def capture(
    amount: int = 1000, minutes: float = 0, *, currency: Currency = Currency.EUR, merchant: str = "shop"
) -> Entry:
    """Return the posting of a capture."""
    return capture_entry(movement(amount, currency, merchant), at(minutes))


@dataclass(frozen=True, slots=True)
class Ledger:
    """What tests do to a ledger."""

    db: "RefpayDb"
    database: Database

    async def post(self, *entries: Entry) -> None:
        """Write entries in one transaction."""
        async with self.database.transaction() as connection:
            await post(connection, *entries)

    async def seal(self, most: int = 1000) -> int:
        """Seal once; return how many entries."""
        async with self.database.transaction() as connection:
            count: int = await connection.fetchval("SELECT ledger.seal_entries($1, $2)", at(0), most)
            return count

    async def make_partitions(self, when: datetime, ahead: int = 1) -> int:
        """Create months; return the number of entries outside of them."""
        async with self.database.transaction() as connection:
            stray: int = await connection.fetchval("SELECT ledger.make_partitions($1, $2)", when, ahead)
            return stray

    async def balances(self, *accounts: str, as_of: datetime | None = None) -> dict[tuple[str, str], int]:
        """Return balances that are not 0."""
        async with self.database.transaction() as connection:
            found = await read_balances(connection, accounts, as_of=as_of)
        return {key: minor for key, minor in found.items() if minor}

    async def verify(self, folder: Path | None = None, expected: str | None = None) -> VerificationReport:
        """Verify everything, as the service's role."""
        connection = await self.db.connect()
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await verify(connection, folder=folder, expected=expected)
        finally:
            await connection.close()

    async def found(self, folder: Path | None = None) -> list[tuple[str, str]]:
        """Return the defects that `verify` finds: kind and subject."""
        return [(one.kind.value, one.subject) for one in (await self.verify(folder)).findings]

    async def archive(self, folder: Path, now: datetime, kept_months: int = 1) -> Sequence[Archive]:
        """Archive as the owner."""
        async with self._owner() as connection:
            return await archive_months(connection, folder, now=now, kept_months=kept_months)

    async def restore(self, folder: Path, name: str) -> None:
        """Restore as the owner."""
        async with self._owner() as connection:
            await restore_month(connection, folder, name, now=at(0))

    async def partitions(self) -> dict[str, int]:
        """Return the rows of each partition."""
        connection = await self.db.connect("postgres")
        try:
            rows = await connection.fetch(
                "SELECT tableoid::regclass::text, count(*) FROM ledger.entry GROUP BY 1"
            )
            return {re.sub(r"^ledger\.", "", row[0]): row[1] for row in rows}
        finally:
            await connection.close()

    @asynccontextmanager
    async def _owner(self) -> AsyncIterator[Any]:
        connection = await self.db.connect("refpay_owner")
        try:
            yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def open_ledger(db: "RefpayDb", secrets_folder: Path) -> AsyncIterator[Ledger]:
    """Open the ledger of a database, for entries without a cause."""
    await db.allow_uncaused()
    password = (secrets_folder / "refpay_app_password").read_text().strip()
    settings = DatabaseSettings(db.url("refpay_app"), "refpay_app", password)
    database = await Database.connect(settings, most_connections=5)
    try:
        yield Ledger(db, database)
    finally:
        await database.close()
