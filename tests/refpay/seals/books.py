"""One view of both chains for tests: what is written, sealed, watched, verified, and changed by the owner."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.refpay.ledger.ledgers import capture

from refpay.audit.events import AuditEvent, Facts, SubjectKind
from refpay.audit.repository import record
from refpay.audit.sealing import AUDIT, verify_trail
from refpay.clock import SystemClock
from refpay.db.pool import Database
from refpay.ledger.repository import post
from refpay.ledger.sealing import LEDGER
from refpay.ledger.verification import verify
from refpay.seals.accepting import accept_chain
from refpay.seals.sealing import ChainWatch, seal_log_of
from refpay.seals.stored import Chain
from refpay.seals.verification import VerificationReport
from refpay.settings import DatabaseSettings

if TYPE_CHECKING:
    import asyncpg
    from tests.refpay.conftest import RefpayDb

NOW = datetime(2026, 11, 24, tzinfo=UTC)
# What an owner switches off before he changes what is there.
GUARDED = {
    "audit": ("audit.event", "audit.seal", "ledger.posted"),
    "ledger": ("ledger.entry", "ledger.posted", "ledger.seal"),
}
_SERIAL = itertools.count(1)


@dataclass(slots=True)
class Book:
    """A chain in a database of its own, and the folder outside of it."""

    chain: Chain
    db: "RefpayDb"
    database: Database
    folder: Path
    written: list[str] = field(default_factory=list)

    @property
    def table(self) -> str:
        """Return the table of what is sealed."""
        return GUARDED[self.chain.name][0]

    async def write(self, count: int = 1, *, actor: str = "api") -> None:
        """Write entries or records, each in a transaction of its own, as the service does."""
        for _ in range(count):
            number = next(_SERIAL)
            async with self.database.transaction() as connection:
                if self.chain is LEDGER:
                    await post(connection, capture(100 + number % 900, number % 50))
                else:
                    await record(connection, event(number, actor))
        rows = await self.db.rows(f"SELECT id FROM {self.table} ORDER BY written_in, id")  # noqa: S608 - ours
        self.written = [str(row["id"]) for row in rows]

    async def seal(self, most: int = 1000) -> int:
        """Seal once; return how many."""
        async with self.database.transaction() as connection:
            return int(await connection.fetchval(self.chain.seal, NOW, most))

    def watch(self, *, begin: bool = True) -> ChainWatch:
        """Watch as a worker that starts now; what it keeps was begun before the first seal."""
        log = seal_log_of(self.chain, self.folder)
        if begin and not log.file.exists():
            log.begin()
        return ChainWatch(self.database, self.chain, clock=SystemClock(), folder=self.folder)

    async def sealed(self, count: int = 6) -> ChainWatch:
        """Write, seal three at a time, and return a watch that has kept and verified everything."""
        await self.write(count)
        watch = self.watch()
        while await self.seal(3):
            pass
        found = [(await watch.run_once()).findings for _ in range(2)]
        assert found == [0, 0]
        return watch

    async def verify(self, *, kept: bool = True, expected: str | None = None) -> VerificationReport:
        """Verify as the command does."""
        log = seal_log_of(self.chain, self.folder).file if kept else None
        connection = await self.db.connect()
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                if self.chain is LEDGER:
                    return await verify(connection, kept=log, expected=expected)
                return await verify_trail(connection, kept=log, expected=expected)
        finally:
            await connection.close()

    async def named(self, *, kept: bool = True) -> set[tuple[str, str]]:
        """Return kind and subject of what `verify` finds."""
        return {(one.kind.value, one.subject) for one in (await self.verify(kept=kept)).findings}

    async def accept(self, head: str) -> list[Path]:
        """Accept the chain in the database."""
        connection = await self.db.connect()
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await accept_chain(connection, self.chain, self.folder, head=head, now=NOW)
        finally:
            await connection.close()

    async def as_owner(self, *statements: str) -> None:
        """Change what is there as the owner of the database can: with its own rules switched off."""
        connection = await self.db.connect("refpay_owner")
        try:
            tables = [*GUARDED[self.chain.name], *await self._months(connection)]
            for table in tables:
                await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            await connection.execute("ALTER TABLE ledger.balance DROP CONSTRAINT IF EXISTS balance_seq_fkey")
            for statement in statements:
                await connection.execute(statement)
            for table in tables:
                await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
            await connection.execute("ALTER TABLE ledger.entry DISABLE TRIGGER entry_caused")
        finally:
            await connection.close()

    async def _months(self, connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
        query = (
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = $1::text::regclass"
        )
        return [row["name"] for row in await connection.fetch(query, self.table)]

    async def compute_anew(self, sizes: Sequence[int] = (3,) * 9) -> None:
        """Make the whole chain in the database anew, as the owner, without a trace in it."""
        balances = ["DELETE FROM ledger.balance"] if self.chain is LEDGER else []
        anew = [self.chain.seal.replace("$1", "'2026-11-24'").replace("$2", str(size)) for size in sizes]
        await self.as_owner(*balances, f"DELETE FROM {self.chain.seals}", *anew)  # noqa: S608 - a name of ours


def event(number: int, actor: str = "api") -> AuditEvent:
    """Return a record with what JSON has to escape in it."""
    said: Facts = {"note": f'"{number}" \\ é \u2028 \t', "amount": number, "none": None, "yes": True}
    before: Facts | None = None if number % 2 else {"status": "started"}
    return AuditEvent(
        datetime.now(UTC), actor, "payment.changed", SubjectKind.PAYMENT, f"p-{number}", before, said, "c\n'"
    )


@asynccontextmanager
async def open_book(chain: Chain, db: "RefpayDb", secrets_folder: Path, folder: Path) -> AsyncIterator[Book]:
    """Open a chain for entries without a cause."""
    await db.allow_uncaused()
    password = (secrets_folder / "refpay_app_password").read_text().strip()
    settings = DatabaseSettings(db.url("refpay_app"), "refpay_app", password)
    database = await Database.connect(settings, most_connections=5)
    if chain is LEDGER:
        async with database.transaction() as connection:
            await connection.fetchval("SELECT ledger.make_partitions('2024-03-31', 0)")
    try:
        yield Book(chain, db, database, folder)
    finally:
        await database.close()


CHAINS = {"ledger": LEDGER, "audit": AUDIT}
