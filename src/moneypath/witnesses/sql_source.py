"""Read a witness by one SELECT: read-only, in one snapshot, through a cursor, within a time and a number."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import asyncpg

from moneypath.oracle.database import UNREACHABLE, describe
from moneypath.path.source import read_text
from moneypath.secret_files import SecretFileUnusable, read_secret
from moneypath.witnesses.columns import AMOUNTS, TIMES, Columns, Row
from moneypath.witnesses.declaration import Witness
from moneypath.witnesses.errors import WitnessInvalid, WitnessUnreadable
from moneypath.witnesses.vocabulary import Role
from moneypath.witnesses.window import Window

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Cursor: TypeAlias = "asyncpg.cursor.Cursor[asyncpg.Record]"

PAGE_ROWS: Final = 5_000
_CONNECT_SECONDS: Final = 5.0
_TEXTS: Final = frozenset(("text", "varchar", "bpchar", "name", "citext"))
_INTEGERS: Final = frozenset(("int2", "int4", "int8"))
_INSTANT: Final = "timestamptz"
_ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(AMOUNTS, _INTEGERS | {"numeric"} | _TEXTS),
    **dict.fromkeys(TIMES, _TEXTS | {_INSTANT}),
}
_NAMES: Final = _TEXTS | _INTEGERS | {"uuid"}
# What the query or the rights of its role are to blame for, and not the server.
_REFUSED: Final = (
    asyncpg.PostgresSyntaxError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.FeatureNotSupportedError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DataError,
    asyncpg.InvalidTransactionStateError,
)


@dataclass(frozen=True, slots=True)
class SqlSource:
    """One SELECT on one database."""

    witness: Witness
    folder: Path
    columns: Columns
    window: Window

    def pages(self, found: set[str]) -> Iterator[Sequence[Row]]:
        """Yield the rows in pages; `found` gets the columns that there are.

        Raises WitnessInvalid for what has to be corrected, WitnessUnreadable for what may pass.
        """
        try:
            dsn = read_secret(self.folder / str(self.witness.dsn_file))
        except SecretFileUnusable as error:
            raise WitnessInvalid(f"secret file {error.what}", hint=error.hint) from None
        query = self._query()
        try:
            with asyncio.Runner() as runner:
                pages = self._read(dsn, query, found)
                try:
                    while (page := runner.run(anext(pages, None))) is not None:
                        yield page
                finally:
                    runner.run(pages.aclose())
        except ValueError:
            # Of asyncpg and of the standard library, for what is no address; both quote it.
            raise self._invalid(f"{self.witness.dsn_file} holds no address of a database") from None
        except _REFUSED as error:
            allowed = "one SELECT that writes nothing"
            raise self._invalid(f"{describe(dsn)} refuses the query: {error}; allowed: {allowed}") from None
        except (TimeoutError, asyncpg.QueryCanceledError):
            limit = f"{self.witness.time_limit:g} s"
            raise self._unreadable(
                f"{describe(dsn)}: not read whole within {limit}", "Ask for less, or raise time_limit."
            ) from None
        except (*UNREACHABLE, asyncpg.PostgresError) as error:
            raise self._unreadable(
                f"{describe(dsn)} cannot be read: {type(error).__name__}", "See whether the server runs."
            ) from None

    def _query(self) -> str:
        text = read_text(self.folder / str(self.witness.sql)).strip()
        return re.sub(r"[;\s]+\Z", "", text)

    async def _read(self, dsn: str, query: str, found: set[str]) -> AsyncGenerator[Sequence[Row], None]:
        count = 0
        # Each page is asked for by a task of its own, so the time is kept here and not in one of them.
        ends = asyncio.get_running_loop().time() + self.witness.time_limit
        async with self._snapshot(dsn) as connection:
            async with asyncio.timeout_at(ends):
                cursor = await self._open(connection, query, found)
            while True:
                async with asyncio.timeout_at(ends):
                    records = await cursor.fetch(PAGE_ROWS)
                if not records:
                    return
                count += len(records)
                if count > self.witness.rows_max:
                    what = f"more than {self.witness.rows_max} rows"
                    raise self._unreadable(what, "Audit by windows, or raise rows_max.")
                yield list(map(tuple, records))

    async def _open(self, connection: Connection, query: str, found: set[str]) -> Cursor:
        # As a table of its own: there no statement that writes can stand.
        table = f"(\n{query}\n) AS witness"
        plain = (await connection.prepare(f"SELECT * FROM {table}")).get_attributes()  # noqa: S608 - the team's own SELECT, read-only
        self._check_columns(plain)
        types = {one.name: one.type.name for one in plain}
        found.update(types)
        selected = await connection.prepare(self._select(table, types))
        return await selected.cursor(*self._bounds(types))

    @asynccontextmanager
    async def _snapshot(self, dsn: str) -> AsyncIterator[Connection]:
        """Open a transaction that can write nothing and that its server ends at the time limit."""
        limit = f"{int(self.witness.time_limit * 1000)}ms"
        try:
            connection = await asyncpg.connect(
                dsn,
                timeout=_CONNECT_SECONDS,
                server_settings={
                    "application_name": "moneypath-audit",
                    "statement_timeout": limit,
                    "lock_timeout": limit,
                    "idle_in_transaction_session_timeout": limit,
                },
            )
        except TimeoutError:
            what = f"{describe(dsn)} does not answer within {_CONNECT_SECONDS:g} s"
            raise self._unreadable(what, "See whether the server runs.") from None
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        finally:
            connection.terminate()

    def _check_columns(self, columns: Sequence[asyncpg.Attribute]) -> None:
        names = [one.name for one in columns]
        problem = self.columns.find_problem(names)
        if problem:
            raise self._invalid(f"{problem[0]}; allowed: {problem[1]}")
        for one in columns:
            if names.count(one.name) > 1:
                raise self._invalid(f"the column {one.name} stands twice; allowed: each once")
            allowed = _ALLOWED.get(one.name, _NAMES)
            # Enumerations and domains are types of the team's own, and are written as text.
            own = one.name not in _ALLOWED and one.type.schema != "pg_catalog" and one.type.kind != "array"
            if one.type.name not in allowed and not own:
                what = f"the column {one.name} is of type {one.type.name}"
                raise self._invalid(f"{what}; allowed: {', '.join(sorted(allowed))}")

    def _select(self, table: str, types: Mapping[str, str]) -> str:
        chosen = ", ".join(self._column(name, types.get(name)) for name in self.columns.all)
        time = f'witness."{self.columns.time}"'
        text = f"SELECT {chosen} FROM {table}"  # noqa: S608 - as above
        if types[self.columns.time] == _INSTANT and self._bounds(types):
            # What has no time is read in every window; an index serves each of the three conditions.
            text += f" WHERE {time} IS NULL OR {time} IN ('infinity', '-infinity')"
            text += f" OR ({time} >= to_timestamp($1) AND {time} < to_timestamp($2))"
        if self.witness.role is Role.ANSWERS:
            text += f" ORDER BY {time}"
        return text

    def _column(self, name: str, type_name: str | None) -> str:
        if type_name is None:
            return "NULL"
        if type_name == _INSTANT:
            return f'extract(epoch FROM witness."{name}")::float8'
        # As text: a cast to a number would round a fraction away, and fail on what is larger.
        return f'witness."{name}"::text'

    def _bounds(self, types: Mapping[str, str]) -> tuple[float, ...]:
        window = self.window
        if types[self.columns.time] != _INSTANT or not window.is_cut:
            return ()
        return window.reads_from, window.reads_to

    def _invalid(self, what: str) -> WitnessInvalid:
        where = f"witness {self.witness.id}, {self.witness.sql}"
        return WitnessInvalid(f"{where}: {what}", hint="Correct the query or its declaration.")

    def _unreadable(self, what: str, hint: str) -> WitnessUnreadable:
        return WitnessUnreadable(f"witness {self.witness.id}: {what}", hint=f"{hint} Nothing was proven.")
