"""A real PostgreSQL: prepared with its roles, durable, and itself again after a crash."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from moneypath.stack import database_folder, folders, postgres
from moneypath.stack.binaries import Binary, find
from moneypath.stack.errors import DatabaseUnprepared, FolderUnwritable, ServerDied, StackError
from moneypath.stack.ports import PortPool
from moneypath.stack.postgres import Postgres
from moneypath.stack.supervisor import Supervisor

_ROLES = {"refpay_owner": "password-of-owner", "refpay_app": "password-of-app"}
_AS_ROOT = os.geteuid() == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Make a folder that every user can reach; pytest's own are locked for others."""
    with tempfile.TemporaryDirectory(prefix="ein schöner Pfad ") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def _prepared(folder: Path, port_pool: PortPool) -> Postgres:
    port = port_pool.reserve("postgres")
    return await postgres.prepare(
        folder,
        port,
        superuser_password="password-of-admin",
        roles=_ROLES,
        owner="refpay_owner",
        database="refpay",
    )


async def _value(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_roles_and_settings_are_there_at_the_first_answer(
    open_folder: Path, port_pool: PortPool
) -> None:
    """With space and umlaut in the path: every role logs in, and no setting trades safety for speed."""
    async with Supervisor(open_folder) as supervisor:
        database = await _prepared(open_folder / "postgres", port_pool)
        assert not database.spec.scratch
        await supervisor.start(database.spec)
        assert str(await _value(database.admin_dsn, "show server_version")).startswith("18.")
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert await _value(database.admin_dsn, f"show {setting}") == "on", setting
        assert await _value(database.admin_dsn, "show unix_socket_directories") == ""
        assert await _value(database.dsn("refpay_app"), "select current_user") == "refpay_app"
        assert await _value(database.dsn("refpay_owner"), "create table t ()") is None
        assert (
            await _value(database.admin_dsn, "select rolsuper from pg_roles where rolname='refpay_app'")
            is False
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await _value(database.dsn("refpay_app"), "create table mine ()")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await _value(database.dsn("refpay_app").replace("of-app", "of-nobody"), "select 1")
        log = supervisor.log_file("postgres").read_text()
    assert "password-of" not in log + repr(database)
    assert "password-of" not in database.url("refpay_app") + database.admin_url
    assert not list((open_folder).rglob("password.*"))


async def test_what_was_committed_survives_a_crash(open_folder: Path, port_pool: PortPool) -> None:
    """After SIGKILL the restart waits for the recovery, and the row is there."""
    async with Supervisor(open_folder / "run") as supervisor:
        database = await _prepared(open_folder / "run" / "postgres", port_pool)
        await supervisor.start(database.spec)
        await _value(database.dsn("refpay_owner"), "create table kept as select 42 as answer")
        open_session = await asyncpg.connect(database.dsn("refpay_owner"))
        await supervisor.kill("postgres")
        assert (database.data_folder / "postmaster.pid").exists()
        await supervisor.restart("postgres")
        assert await _value(database.dsn("refpay_owner"), "select answer from kept") == 42
        assert "was not properly shut down" in supervisor.log_file("postgres").read_text()
        open_session.terminate()


async def test_a_prepared_folder_is_used_again(open_folder: Path, port_pool: PortPool) -> None:
    """A second run over the same folder finds its data, after an orderly stop and without recovery."""
    for statement in ("create table kept ()", "drop table kept"):
        async with Supervisor(open_folder / "run") as supervisor:
            database = await _prepared(open_folder / "run" / "postgres", port_pool)
            await supervisor.start(database.spec)
            await _value(database.dsn("refpay_owner"), statement)
    assert "was not properly shut down" not in supervisor.log_file("postgres").read_text()


async def test_two_run_side_by_side(open_folder: Path, port_pool: PortPool) -> None:
    """Two stacks, prepared at once, serve at once."""
    async with Supervisor(open_folder / "a") as first, Supervisor(open_folder / "b") as second:
        databases = await asyncio.gather(
            *(_prepared(open_folder / name / "postgres", port_pool) for name in "ab")
        )
        await asyncio.gather(first.start(databases[0].spec), second.start(databases[1].spec))
        for database in databases:
            assert await _value(database.dsn("refpay_app"), "select 1") == 1


async def test_a_second_server_on_one_folder_is_refused(open_folder: Path, port_pool: PortPool) -> None:
    """Two stacks in one run folder: the second says who has it."""
    async with Supervisor(open_folder / "a") as first, Supervisor(open_folder / "b") as second:
        await first.start((await _prepared(open_folder / "postgres", port_pool)).spec)
        again = await _prepared(open_folder / "postgres", port_pool)
        with pytest.raises(StackError, match="is served by process"):
            await second.start(again.spec)


def test_a_reused_process_id_is_no_postmaster(tmp_path: Path) -> None:
    """The lock file of a dead server is removed if its number now belongs to another program; else kept."""
    lock = tmp_path / "postmaster.pid"
    database_folder.remove_stale_pid_file(tmp_path)
    lock.write_text(f"{2**22 + 1}\n")
    database_folder.remove_stale_pid_file(tmp_path)
    assert lock.exists()  # nobody has that number: PostgreSQL's own check is the better one
    lock.write_text(f"{os.getpid()}\n")
    database_folder.remove_stale_pid_file(tmp_path)
    assert not lock.exists()


async def test_a_long_path_works(tmp_path: Path, port_pool: PortPool) -> None:
    """Far beyond the 100 bytes of a socket's path."""
    folder = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 12)
    async with Supervisor(folder) as supervisor:
        database = await _prepared(folder / "postgres", port_pool)
        await supervisor.start(database.spec)
        assert await _value(database.dsn("refpay_app"), "select 1") == 1


@pytest.mark.skipif(not _AS_ROOT, reason="only root has to become somebody else")
@pytest.mark.parametrize("locked", ["folder", "programs"])
async def test_what_nobody_cannot_reach_is_copied_and_removed(
    tmp_path: Path, port_pool: PortPool, locked: str
) -> None:
    """Under a folder with mode 0700, as /root is, a private place is used for as long as the stack lives."""
    binary = None
    if locked == "programs":
        binary = _wheel_in_a_locked_home(tmp_path / "home")
    run_folder = tmp_path / "run"
    run_folder.mkdir(mode=0o700 if locked == "folder" else 0o755)
    async with Supervisor(run_folder) as supervisor:
        database = await postgres.prepare(
            run_folder / "postgres",
            port_pool.reserve("postgres"),
            superuser_password="password-of-admin",
            roles=_ROLES,
            owner="refpay_owner",
            database="refpay",
            binary=binary,
        )
        await supervisor.start(database.spec)
        assert await _value(database.dsn("refpay_app"), "select 1") == 1
        scratch = database.spec.scratch
        assert scratch
        assert all(folder.is_dir() for folder in scratch)
        await supervisor.restart("postgres")
        assert await _value(database.dsn("refpay_app"), "select 1") == 1
    assert not any(folder.exists() for folder in scratch)


def _wheel_in_a_locked_home(home: Path) -> Binary:
    found = find("postgres")
    installed = found.path.resolve().parents[2]
    home.mkdir(mode=0o700)
    for package in (installed, installed.with_name(installed.name + ".libs")):
        _link_tree(package, home / package.name)
    return Binary(
        "postgres", home / found.path.resolve().relative_to(installed.parent), found.version, found.origin
    )


def _link_tree(source: Path, target: Path) -> None:
    """Copy a tree; a link to it would resolve to where it came from."""
    shutil.copytree(source, target)


@pytest.mark.skipif(not _AS_ROOT, reason="only root has to become somebody else")
async def test_the_server_is_not_root(open_folder: Path, port_pool: PortPool) -> None:
    """The privileges are dropped, supplementary groups included."""
    async with Supervisor(open_folder / "run") as supervisor:
        await supervisor.start((await _prepared(open_folder / "run" / "postgres", port_pool)).spec)
        status = Path(f"/proc/{supervisor.pids()['postgres']}/status").read_text().splitlines()
    account = folders.unprivileged_account()
    assert account is not None
    assert f"Uid:\t{account.uid}\t{account.uid}\t{account.uid}\t{account.uid}" in status
    assert "Groups:\t " in status


async def test_an_unwritable_folder_is_one_sentence(tmp_path: Path, port_pool: PortPool) -> None:
    """The folder is named."""
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnwritable, match="file/postgres"):
        await _prepared(tmp_path / "file" / "postgres", port_pool)


async def test_a_folder_of_another_version_is_refused(open_folder: Path, port_pool: PortPool) -> None:
    """The two versions are named, and nothing is touched."""
    (open_folder / "postgres" / "data").mkdir(parents=True)
    (open_folder / "postgres" / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(DatabaseUnprepared, match="PostgreSQL 15, ours is 18"):
        await _prepared(open_folder / "postgres", port_pool)


async def test_a_broken_database_says_what_is_wrong(tmp_path: Path, port_pool: PortPool) -> None:
    """The server's own last words are shown."""
    async with Supervisor(tmp_path / "run") as supervisor:
        database = await _prepared(tmp_path / "run" / "postgres", port_pool)
        (database.data_folder / "global" / "pg_control").unlink()
        with pytest.raises(ServerDied, match=r"postgres (.|\n)*pg_control"):
            await supervisor.start(database.spec)


@pytest.mark.parametrize(
    "wrong", [{"Robert'); drop": "long-password"}, {"refpay_owner": "a'b"}, {"other": "x" * 9}]
)
async def test_names_and_passwords_are_checked(tmp_path: Path, wrong: dict[str, str]) -> None:
    """They become part of statements, so what could end one is refused, without showing the password."""
    with pytest.raises(ValueError, match=r"name|password") as refused:
        await postgres.prepare(
            tmp_path, 1, superuser_password="x", roles=wrong, owner="refpay_owner", database="refpay"
        )
    assert "a'b" not in str(refused.value)
