"""A real PostgreSQL with the tables of a team, its witness file, and the command that audits it."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner
from tests.oracle.conftest import postgres_socket
from tests.witnesses import provider_book, teams
from tests.witnesses.business import Event, trade, write_answers

from moneypath.cli.main import moneypath

__all__ = ["open_team", "postgres_socket"]

ROLE = "DO $$ BEGIN CREATE ROLE auditor LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"


@dataclass(frozen=True, slots=True)
class Audited:
    """How the command ended, and what it said."""

    code: int
    output: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.output[self.output.index("{") : self.output.rindex("}") + 1])  # type: ignore[no-any-return]  # JSON

    @property
    def verdict(self) -> dict[str, Any]:
        (one,) = self.document["audits"]
        return one  # type: ignore[no-any-return]  # JSON

    @property
    def kinds(self) -> set[str]:
        found = [*self.verdict["discrepancies"], *self.verdict["faults"]]
        return {one["kind"] for one in found}


@dataclass(slots=True)
class Shop:
    """One team's records: tables in a schema of their own, and files in a folder."""

    socket: Path
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "witnesses.yaml"

    def execute(self, *statements: str, rows: teams.Rows | None = None) -> None:
        """Run statements as the owner of the tables, and fill tables."""
        asyncio.run(self._execute(statements, rows or {}))

    async def _execute(self, statements: Sequence[str], rows: teams.Rows) -> None:
        connection = await asyncpg.connect(host=str(self.socket), user="owner", database="postgres")
        try:
            await connection.execute("SET search_path = team")
            for statement in statements:
                await connection.execute(statement)
            for table, of_table in rows.items():
                if of_table:
                    await connection.copy_records_to_table(table, schema_name="team", records=of_table)
        finally:
            await connection.close()

    def edit(self, old: str, new: str) -> None:
        """Change the witness file."""
        text = self.file.read_text(encoding="utf-8")
        assert old in text
        self.file.write_text(text.replace(old, new), encoding="utf-8")

    def audit(self, *options: str) -> Audited:
        """Run `moneypath audit` on the witness file."""
        ended = CliRunner().invoke(moneypath, ["audit", str(self.file), *options])
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        return Audited(ended.exit_code, ended.output)

    def judge(self, *options: str) -> Audited:
        """Audit all that there is, and have the verdict as JSON."""
        return self.audit("--until", "2027-01-01T00:00:00Z", "--json", *options)


OpenTeam = Callable[..., Shop]


@pytest.fixture
def open_team(postgres_socket: Path, tmp_path: Path) -> OpenTeam:
    """Return what sets a team up with what it did."""

    def open_one(team: teams.Team, events: Sequence[Event] | None = None) -> Shop:
        shop = Shop(postgres_socket, tmp_path)
        events = trade(7) if events is None else events
        rows = dict(team.rows(events))
        schema = team.schema
        if "book" not in team.queries:
            schema += provider_book.BOOK
            rows["book"] = provider_book.book_rows(events)
        grants = (
            "GRANT USAGE ON SCHEMA team TO auditor; GRANT SELECT ON ALL TABLES IN SCHEMA team TO auditor;"
        )
        begin = "DROP SCHEMA IF EXISTS team CASCADE; CREATE SCHEMA team;"
        shop.execute(f"{ROLE} {begin}", schema, grants, rows=rows)
        _write(shop, team)
        write_answers(shop.folder / "answers.jsonl", events)
        return shop

    return open_one


def _write(shop: Shop, team: teams.Team) -> None:
    for name in ("sql", "secrets"):
        (shop.folder / name).mkdir(exist_ok=True)
    dsn = shop.folder / "secrets" / "dsn"
    options = "options=-c%20search_path%3Dteam"
    dsn.write_text(f"postgresql://auditor@/postgres?host={shop.socket}&{options}\n", encoding="utf-8")
    dsn.chmod(0o600)
    for name, query in {"book": provider_book.BOOK_SQL, **team.queries}.items():
        (shop.folder / "sql" / f"{name}.sql").write_text(query, encoding="utf-8")
    own_book = "book" in team.queries
    reconcile = teams.RECONCILE.format(
        ledger=teams.LEDGERS[team.name], book="balance_transactions" if own_book else "provider_book"
    )
    book = "" if own_book else provider_book.BOOK_YAML
    text = f"{teams.CURRENCIES}witnesses:{team.yaml}{book}{teams.ANSWERS_YAML}{reconcile}"
    shop.file.write_text(text, encoding="utf-8")
