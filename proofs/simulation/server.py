"""The PostgreSQL of the simulation: one server, and a migrated database for each job."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import asyncpg

from moneypath.stack import postgres
from moneypath.stack.ports import PortPool
from moneypath.stack.secrets import mint
from moneypath.stack.supervisor import Supervisor
from refpay.db.upgrade import upgrade_schema
from refpay.settings import DatabaseSettings

# Indexes that only the simulation needs, to select by merchant. And the invariants ask for the cause of each
# entry themselves, so a bug that forges one is not hidden by the database, which would refuse it.
_CHANGES: Final = """
    CREATE INDEX ON outbox.event (operation_id);
    CREATE INDEX ON identity.approval (subject_id);
    ALTER TABLE ledger.entry DISABLE TRIGGER entry_caused;
"""
_SETTINGS: Final = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "jit=off",
    "deadlock_timeout=50ms",
    "shared_buffers=128MB",
    "max_wal_size=4GB",
    "checkpoint_timeout=1h",
)
_ROLES: Final = ("refpay_owner", "refpay_app", "refpay_oracle")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server with a migrated template."""

    prepared: postgres.Postgres
    sockets: str

    async def make_database(self, name: str) -> tuple[str, str]:
        """Create an empty database; return the addresses for the service and for a superuser."""
        admin = await asyncpg.connect(self.prepared.admin_dsn, timeout=10)
        try:
            await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE refpay OWNER refpay_owner")
        finally:
            await admin.close()
        return self._dsn("refpay_app", name), self._dsn("postgres", name)

    def _dsn(self, role: str, name: str) -> str:
        # Not over TCP, whose round trip costs more than a statement.
        address = f"@127.0.0.1:{self.prepared.port}/{name}"
        local = f"@/{name}?host={self.sockets}&port={self.prepared.port}"
        return self.prepared.dsn(role, name).replace(address, local)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Server]:
    """Run a server in a folder.

    It runs without fsync, which is ten times faster and proves as much: histories kill processes and
    connections, but never the server's machine.
    """
    secrets = mint(folder / "secrets", [*_ROLES, "postgres"])
    # The path of a socket must be short, and the server's user must be able to write to it.
    with PortPool({}) as ports, TemporaryDirectory(prefix="sim-") as sockets:
        Path(sockets).chmod(0o777)
        async with Supervisor(folder / "servers") as supervisor:
            prepared = await postgres.prepare(
                folder / "postgres",
                ports.reserve("postgres"),
                superuser_password=secrets["postgres"],
                roles={role: secrets[role] for role in _ROLES},
                owner="refpay_owner",
                database="refpay",
            )
            settings = (*_SETTINGS, f"unix_socket_directories={sockets}")
            flags = (part for setting in settings for part in ("-c", setting))
            await supervisor.start(replace(prepared.spec, command=(*prepared.spec.command, *flags)))
            await upgrade_schema(
                DatabaseSettings(prepared.url("refpay_owner"), "refpay_owner", secrets["refpay_owner"])
            )
            admin = await asyncpg.connect(prepared.dsn("postgres", "refpay"), timeout=10)
            try:
                await admin.execute(_CHANGES)
            finally:
                await admin.close()
            yield Server(prepared, sockets)
