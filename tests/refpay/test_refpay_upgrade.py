"""Upgrading the schema: the one revision and later ones, what is refused, and what comes in between."""

import asyncio
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refpay.db import upgrade
from refpay.db.pool import SCHEMA_REVISION
from refpay.db.upgrade import MIGRATIONS, REVISIONS, upgrade_schema
from refpay.errors import StartRefused
from refpay.settings import DatabaseSettings

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb

_WAITS = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = $1"
_END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1"
)
_REVISION = "SELECT version_num FROM public.alembic_version"
# Of each revision's SQL without comments and white space. A merged revision is never edited: add a new one.
_DIGESTS = {
    "0100": "1802a122c33b440d",
    "0101": "adccf7359eae64f8",
    "0102": "30e2e77131945fb4",
    "0103": "b8eb9ff3a50ef037",
    "0104": "4ea2086b9cdf8ea4",
    "0105": "c31d56586c827ef3",
}


def _owner(db: "RefpayDb", secrets_folder: Path) -> DatabaseSettings:
    password = (secrets_folder / "refpay_owner_password").read_text().strip()
    return DatabaseSettings(db.url("refpay_owner"), "refpay_owner", password)


def _digest(revision: str) -> str:
    scripts = sorted((MIGRATIONS / revision).iterdir())
    text = " ".join(re.sub(r"--[^\n]*", "", script.read_text(encoding="utf-8")) for script in scripts)
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]


@pytest.fixture
def revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the upgrade know two more revisions, of a folder that the test fills."""
    for number in ("9901", "9902"):
        (tmp_path / number).mkdir()
    monkeypatch.setattr(upgrade, "MIGRATIONS", tmp_path)
    monkeypatch.setattr(upgrade, "REVISIONS", (*REVISIONS, "9901", "9902"))
    return tmp_path


def test_every_script_belongs_to_a_revision_and_has_its_place() -> None:
    """A script outside every revision would be missing in a new database."""
    assert sorted(REVISIONS) == list(REVISIONS)
    assert REVISIONS[-1] == SCHEMA_REVISION
    assert [folder.name for folder in sorted(MIGRATIONS.iterdir()) if folder.is_dir()] == list(REVISIONS)
    for revision in REVISIONS:
        names = [script.name for script in sorted((MIGRATIONS / revision).iterdir())]
        assert [int(name.partition("_")[0]) for name in names] == list(range(1, len(names) + 1))
        assert all(name.endswith(".sql") for name in names)


def test_a_merged_revision_is_not_edited() -> None:
    """A database may have it already; comments may change."""
    assert {revision: _digest(revision) for revision in REVISIONS} == _DIGESTS


async def test_missing_revisions_run_up_to_the_wanted_one(
    db: "RefpayDb", secrets_folder: Path, revisions: Path
) -> None:
    """Those that the database has are not run again, and their scripts run in the order of their names."""
    (revisions / "9901" / "02_row.sql").write_text("INSERT INTO public.added VALUES (1);")
    (revisions / "9901" / "01_table.sql").write_text("CREATE TABLE public.added (number integer);")
    (revisions / "9902" / "01_row.sql").write_text("INSERT INTO public.added VALUES (2);")
    owner = _owner(db, secrets_folder)
    for wanted, numbers in (("9901", [1]), ("9901", [1]), ("9902", [1, 2])):
        await upgrade_schema(owner, wanted)
        rows = await db.rows("SELECT number FROM public.added ORDER BY number", role="refpay_owner")
        assert [row["number"] for row in rows] == numbers
        assert [row["version_num"] for row in await db.rows(_REVISION)] == [wanted]


async def test_a_script_that_fails_leaves_everything_as_it_was(
    db: "RefpayDb", secrets_folder: Path, revisions: Path
) -> None:
    """The revisions before it are undone too, and its own sentence is shown."""
    (revisions / "9901" / "01_table.sql").write_text("CREATE TABLE public.added (number integer);")
    (revisions / "9902" / "01_wrong.sql").write_text(
        "DO $$ BEGIN RAISE EXCEPTION 'payment 7 is wrong'; END $$;"
    )
    with pytest.raises(StartRefused, match="payment 7 is wrong"):
        await upgrade_schema(_owner(db, secrets_folder), "9902")
    assert [row["version_num"] for row in await db.rows(_REVISION)] == [SCHEMA_REVISION]
    assert await db.rows("SELECT to_regclass('public.added') AS added") == [{"added": None}]


async def test_an_upgrade_whose_connection_is_lost_says_so(db: "RefpayDb", secrets_folder: Path) -> None:
    """The rollback meets the lost connection too, and that is not what people are told."""
    other = await db.connect("postgres")
    try:
        await other.execute("SELECT pg_advisory_lock(7305519001)")
        database = await other.fetchval("SELECT oid FROM pg_database WHERE datname = current_database()")
        upgrading = asyncio.create_task(upgrade_schema(_owner(db, secrets_folder)))
        async with asyncio.timeout(60):
            while not await other.fetchval(_WAITS, database):  # noqa: ASYNC110 - the server's event
                await asyncio.sleep(0.02)
        await other.execute(_END, other.get_server_pid())
        with pytest.raises(StartRefused, match="database cannot be upgraded"):
            await upgrading
    finally:
        await other.close()


async def test_a_newer_schema_is_not_called_upgraded(db: "RefpayDb", secrets_folder: Path) -> None:
    """An older program refuses it, and changes nothing; the schema of its own needs nothing."""
    await upgrade_schema(_owner(db, secrets_folder))
    await db.rows("UPDATE public.alembic_version SET version_num = '9999'", role="postgres")
    with pytest.raises(StartRefused, match=f"is 9999, newer than .*{SCHEMA_REVISION}"):
        await upgrade_schema(_owner(db, secrets_folder))


async def test_a_schema_from_before_the_one_revision_is_refused(db: "RefpayDb", secrets_folder: Path) -> None:
    """No scripts lead from there to here; the sentence says what to do."""
    await db.rows("UPDATE public.alembic_version SET version_num = '0012'", role="postgres")
    with pytest.raises(StartRefused) as refusal:
        await upgrade_schema(_owner(db, secrets_folder))
    assert "database schema is 0012" in refusal.value.detail
    assert "drop the database, create it again, and run `python -m refpay.db upgrade`" in refusal.value.detail
    assert [row["version_num"] for row in await db.rows(_REVISION)] == ["0012"]
