"""Secrets, endpoints and places: what the stack keeps in files, and where."""

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from moneypath.stack import folders, memory, secrets
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.errors import FolderUnwritable, StackError
from moneypath.stack.supervisor import Supervisor


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_minted_secrets_are_long_distinct_and_private(tmp_path: Path) -> None:
    """Files are 0600 in a folder 0700, whatever the umask."""
    old = os.umask(0)
    try:
        minted = secrets.mint(tmp_path / "secrets", ["a", "b"])
    finally:
        os.umask(old)
    assert len(set(minted.values())) == 2
    assert all(len(value) >= 43 for value in minted.values())
    assert _mode(tmp_path / "secrets") == 0o700
    assert _mode(tmp_path / "secrets" / "a") == 0o600
    assert secrets.read(tmp_path / "secrets", "a") == minted["a"]


def test_a_minted_secret_is_kept(tmp_path: Path) -> None:
    """A second run over the same folder finds the same secrets and adds what is new."""
    first = secrets.mint(tmp_path, ["a"])
    second = secrets.mint(tmp_path, ["a", "b"])
    assert second["a"] == first["a"] != second["b"]


def test_secrets_need_a_writable_folder(tmp_path: Path) -> None:
    """The folder is named."""
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnwritable, match="file/secrets"):
        secrets.mint(tmp_path / "file" / "secrets", ["a"])


def _endpoints(run_folder: Path) -> Endpoints:
    return Endpoints(
        target="reference",
        service="http://127.0.0.1:1",
        worker="http://127.0.0.1:2",
        prometheus="http://127.0.0.1:3",
        alertmanager="http://127.0.0.1:4",
        pager="http://127.0.0.1:5",
        providers={"north": "http://127.0.0.1:6"},
        oracle_dsn="postgresql://o:pass-of-the-oracle@127.0.0.1:7/refpay",
        secrets_folder=run_folder / "secrets",
        run_folder=run_folder,
        scale=60,
    )


def test_endpoints_come_back_as_they_were(tmp_path: Path) -> None:
    """Another process reads what this one wrote, from a file that only its owner can read."""
    endpoints = _endpoints(tmp_path / "ein schöner Pfad")
    endpoints.run_folder.mkdir()
    assert _mode(endpoints.save()) == 0o600
    assert _mode(endpoints.save()) == 0o600
    assert Endpoints.load(endpoints.run_folder) == endpoints


def test_endpoints_do_not_show_the_password(tmp_path: Path) -> None:
    """A log line or a stack trace with endpoints in it holds no secret."""
    assert "pass-of-the-oracle" not in repr(_endpoints(tmp_path))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("service", "servise"), "servise"),
        (('"http://127.0.0.1:1"', "1"), "service"),
        (('"http://127.0.0.1:6"', "[]"), "north"),
        (("{", "["), "not JSON"),
    ],
)
def test_wrong_endpoints_are_refused_by_name(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    """The key at fault is named."""
    text = _endpoints(tmp_path).to_json().replace(*change, 1)
    with pytest.raises(StackError, match=named):
        Endpoints.from_json(text)


def test_no_running_stack_is_one_sentence(tmp_path: Path) -> None:
    """The file that was looked for is named."""
    with pytest.raises(StackError, match=r"no running stack: .*endpoints\.json"):
        Endpoints.load(tmp_path)


def test_a_locked_ancestor_makes_a_path_unreachable(tmp_path: Path) -> None:
    """One folder with mode 0700 on the way is enough, as /root is on most machines."""
    target = tmp_path / "locked" / "open" / "file"
    target.parent.mkdir(parents=True)
    stranger = folders.Account("stranger", tmp_path.stat().st_uid + 1, tmp_path.stat().st_gid + 1)
    for folder in (target, *target.parents):
        if folder.is_relative_to(tmp_path) and folder.is_dir():
            folder.chmod(0o755)
    outside = folders.is_reachable(tmp_path, stranger)
    assert folders.is_reachable(target, stranger) == outside
    (tmp_path / "locked").chmod(0o700)
    assert not folders.is_reachable(target, stranger)
    owner = folders.Account("owner", tmp_path.stat().st_uid, tmp_path.stat().st_gid)
    assert folders.is_reachable(target, owner) == folders.is_reachable(tmp_path, owner)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}])
def test_an_empty_home_is_looked_up(environ: dict[str, str]) -> None:
    """With `env -i` or HOME="" the user database decides; it is never the root folder by accident."""
    assert folders.home(environ) != Path("/")
    assert folders.home({"HOME": "/somewhere"}) == Path("/somewhere")


def test_the_cache_follows_the_convention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_CACHE_HOME first, if absolute; else ~/.cache; else a temp folder of our own."""
    given, home = tmp_path / "cache", tmp_path / "home"
    assert folders.cache_folder({"XDG_CACHE_HOME": str(given), "HOME": str(home)}) == given / "moneypath"
    assert (
        folders.cache_folder({"XDG_CACHE_HOME": "relative", "HOME": str(home)}) == home / ".cache/moneypath"
    )
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    fallback = folders.cache_folder({"HOME": str(tmp_path / "file")})
    assert fallback == tmp_path / "tmp" / f"moneypath-cache-{os.getuid()}"
    with pytest.raises(FolderUnwritable, match="XDG_CACHE_HOME"):
        folders.cache_folder({"XDG_CACHE_HOME": str(tmp_path / "file")})


def test_a_cache_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    """Programs are run from the cache, so a folder where anybody can put one is refused."""
    (tmp_path / "moneypath").mkdir()
    (tmp_path / "moneypath").chmod(0o777)
    with pytest.raises(FolderUnwritable):
        folders.cache_folder({"XDG_CACHE_HOME": str(tmp_path)})


def test_unreadable_memory_is_said() -> None:
    """A process of another user is counted as unreadable, and the rest as a lower bound."""

    def refuse(_pid: int) -> int:
        raise PermissionError

    assert memory.read_trees({"me": os.getpid()}, refuse)["me"].unreadable >= 1
    honest = memory.read_trees({"me": os.getpid()})["me"]
    assert honest.unreadable == 0
    assert honest.pss_bytes > 1_000_000


def test_an_ended_process_uses_no_memory() -> None:
    """It is left out rather than an error."""
    assert memory.read_trees({"gone": 2**22 + 1})["gone"].processes == 0


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o022])
async def test_what_servers_and_this_process_write_is_private(tmp_path: Path, fake: Any, umask: int) -> None:
    """The folder, the logs, and what a child creates; afterwards the process has its own umask again.

    Without the block the logs and what children create are private all the same.
    """
    before = os.umask(umask)
    try:
        with folders.private_files():
            async with Supervisor(tmp_path / "run") as supervisor:
                await supervisor.start(fake(events=str(tmp_path / "run" / "events")))
                (tmp_path / "run" / "evidence").write_text("{}")
        async with Supervisor(tmp_path / "other") as supervisor:
            await supervisor.start(fake(events=str(tmp_path / "other" / "events")))
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    files = [each for name in ("run", "other") for each in (tmp_path / name).rglob("*")]
    assert {"events", "evidence", "logs", "reaper.log", "fake.log"} == {each.name for each in files}
    assert {_mode(each) for each in files if each.is_file()} == {0o600}
    assert {_mode(each) for each in (tmp_path / "run", *files) if each.is_dir()} == {0o700}


def test_an_open_folder_of_somebody_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the owner of a folder closes it."""
    tmp_path.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    folders.make_private(tmp_path)
    assert _mode(tmp_path) == 0o755
    monkeypatch.undo()
    folders.make_private(tmp_path)
    assert _mode(tmp_path) == 0o700
