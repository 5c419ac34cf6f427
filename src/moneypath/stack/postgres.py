"""A real PostgreSQL: initialised with its roles before the first start, reachable on loopback TCP only."""

import asyncio
import re
import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from moneypath.stack import database_folder, folders
from moneypath.stack.binaries import Binary, find
from moneypath.stack.database_folder import SUPERUSER
from moneypath.stack.errors import FolderUnwritable
from moneypath.stack.server import Probe, ServerSpec

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_PASSWORD = re.compile(r"[A-Za-z0-9_\-.~]{8,200}")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # socket paths are limited to about 100 bytes, folders are not
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "io_method": "sync",  # saves three worker processes that so small a database does not need
    "max_wal_size": "256MB",
    "password_encryption": "scram-sha-256",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] ",
    "log_parameter_max_length": "0",  # parameters are payments; a log is no place for them
    "log_parameter_max_length_on_error": "0",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that is ready to be started. A `url` never contains a password, a `dsn` always does."""

    spec: ServerSpec
    port: int
    data_folder: Path
    database: str
    passwords: Mapping[str, str] = field(repr=False)

    def url(self, role: str, database: str | None = None) -> str:
        """Return the address for a role, without its password."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database or self.database}"

    def dsn(self, role: str, database: str | None = None) -> str:
        """Return the address for a role with its password; raises KeyError for a role without one."""
        return self.url(role, database).replace("@", f":{self.passwords[role]}@", 1)

    @property
    def admin_url(self) -> str:
        """Return the superuser's address, without the password."""
        return self.url(SUPERUSER, "postgres")

    @property
    def admin_dsn(self) -> str:
        """Return the superuser's address with the password."""
        return self.dsn(SUPERUSER, "postgres")


async def prepare(
    folder: Path,
    port: int,
    *,
    superuser_password: str,
    roles: Mapping[str, str],
    owner: str,
    database: str,
    binary: Binary | None = None,
) -> Postgres:
    """Initialise a database folder with its roles (name to password), and describe its server.

    `owner`, one of the roles, owns the database; the other roles may connect to it. A folder that was
    prepared before is used as it is, with its passwords. If we are root, the server runs as `nobody`; if that
    user cannot reach the folder or the programs, both are put into a private temporary folder, which is
    removed when the stack ends. Raises DatabaseUnprepared, FolderUnwritable or BinaryMissing.
    """
    _check_names(roles, owner, database)
    found = binary if binary is not None else await asyncio.to_thread(find, "postgres")
    account = folders.unprivileged_account()
    scratch: list[Path] = []
    try:
        program = await asyncio.to_thread(database_folder.reachable_program, found, account, scratch)
        parent = database_folder.usable_folder(folder, account, scratch)
        data = parent / "data"
        if not data.exists():
            with tempfile.TemporaryDirectory(prefix="new.", dir=parent) as new:
                draft = Path(new) / "data"
                await database_folder.initialise(program, draft, account, superuser_password)
                await database_folder.create_roles(program, draft, account, roles, owner, database)
                draft.rename(data)
        database_folder.check_version(data)
    except OSError as error:
        _remove(scratch)
        raise FolderUnwritable(
            f"folder not writable: {folder} ({error.strerror})", hint="Choose a run folder that you own."
        ) from error
    except BaseException:
        _remove(scratch)
        raise
    passwords = {SUPERUSER: superuser_password, **roles}
    spec = ServerSpec(
        name="postgres",
        command=(str(program), "-D", str(data), *database_folder.flags(_SETTINGS | {"port": str(port)})),
        ready=_answers(port, superuser_password),
        env=database_folder.ENVIRONMENT,
        cwd=data,
        port=port,
        stop_signal=signal.SIGINT,  # the fast shutdown: ends sessions, writes a checkpoint
        stop_grace_seconds=20.0,
        ready_within_seconds=60.0,  # crash recovery included
        uid=account.uid if account else None,
        gid=account.gid if account else None,
        before_start=lambda: database_folder.remove_stale_pid_file(data),
        scratch=tuple(scratch),
    )
    return Postgres(spec, port, data, database, passwords)


def _check_names(roles: Mapping[str, str], owner: str, database: str) -> None:
    for name in (*roles, owner, database):
        if not _NAME.fullmatch(name):
            raise ValueError(f"role or database name: {name!r}; allowed: {_NAME.pattern}")
    if owner not in roles:
        raise ValueError(f"owner without a password: {owner}; roles: {', '.join(roles)}")
    if not all(_PASSWORD.fullmatch(password) for password in roles.values()):
        raise ValueError(f"a role's password holds other characters than {_PASSWORD.pattern}")


def _answers(port: int, password: str) -> Probe:
    async def probe() -> bool:
        try:
            connection = await asyncpg.connect(
                host="127.0.0.1",
                port=port,
                user=SUPERUSER,
                password=password,
                database="postgres",
                ssl=False,
                timeout=2,
            )
            try:
                return bool(await connection.fetchval("select 1", timeout=2) == 1)
            finally:
                await connection.close(timeout=2)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise OSError(str(error)) from error  # "the database system is starting up", for one

    return probe


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
