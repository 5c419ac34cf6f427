"""What a run writes is its owner's alone, whatever the umask: books, evidence and logs hold payments."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

PATIENCE_SECONDS = 240.0
# What group or others may enter or read inside the state folder, and why. Nothing has to be.
OPEN: dict[str, str] = {}
BOOKS = ("north.sqlite3", "south.sqlite3", "pages.jsonl")


def _open_to_others(folder: Path) -> Iterator[str]:
    """Yield every file and folder that group or others can read, write or enter."""
    for each in (folder, *sorted(folder.rglob("*"))):
        mode = each.lstat().st_mode
        if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) & 0o077:
            yield f"{each.relative_to(folder)} {stat.S_IMODE(mode):04o}"


@asynccontextmanager
async def _command(
    project: Path, state: Path, umask: int, *words: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "moneypath", *words,
        cwd=project,
        env={**os.environ, "XDG_STATE_HOME": str(state)},
        umask=umask,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("umask", [0o000, pytest.param(0o077, marks=pytest.mark.proof)])
async def test_a_running_stack_shows_nothing_to_other_accounts(
    project: Path, tmp_path: Path, umask: int
) -> None:
    """While it runs, with its secrets and messages, and when it has ended; PostgreSQL reaches its data."""
    async with _command(project, tmp_path, umask, "stack", "up", "--scale", "60") as process:
        assert process.stdout is not None
        said = b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while b"checkouts go on" not in said:
                line = await process.stdout.readline()
                assert line, said.decode()
                said += line
        (run,) = tmp_path.glob("moneypath/runs/*")
        # Of what is removed or renamed meanwhile there is no mode, so it is asked again.
        found = await _settled(partial(_open_to_others, tmp_path / "moneypath"))
        there = {each.name for each in run.iterdir()}
        process.send_signal(signal.SIGINT)
        rest = await asyncio.wait_for(process.stdout.read(), PATIENCE_SECONDS)
        await process.wait()
    assert {each for each in found if each.split()[0] not in OPEN} == set(), rest.decode()
    assert there >= {"secrets", "nats", "logs", "prometheus", "alertmanager", "acknowledgements", *BOOKS}
    assert list(_open_to_others(tmp_path / "moneypath")) == []
    assert all((run / name).stat().st_size for name in BOOKS[:2])


async def _settled(look: "partial[Iterator[str]]") -> list[str]:
    for _ in range(50):
        try:
            return list(look())
        except FileNotFoundError:
            await asyncio.sleep(0)
    raise AssertionError("files come and go without end")


@pytest.mark.proof
async def test_the_evidence_of_a_drill_is_as_private(project: Path, tmp_path: Path) -> None:
    """The bundle, the copies in it and the logs of customers, with a umask that would open all."""
    drill = ("drill", "run", "drills/drill-006-double-charge.yaml")
    async with _command(project, tmp_path, 0o000, *drill) as process:
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    (run,) = tmp_path.glob("moneypath/runs/*")
    # Whether it passed depends on the machine; its evidence is written either way.
    assert process.returncode in (0, 1), said.decode()
    assert (run / "drill" / "scorecard.json").is_file(), sorted(run.rglob("*"))
    assert list(_open_to_others(tmp_path / "moneypath")) == []


def test_what_is_open_is_found(tmp_path: Path) -> None:
    """The walk can fail: a file, a folder, a bit of group."""
    tmp_path.chmod(0o700)
    (tmp_path / "open").mkdir(mode=0o750)
    (tmp_path / "open" / "book").touch(mode=0o640)
    (tmp_path / "closed").touch(mode=0o600)
    assert list(_open_to_others(tmp_path)) == ["open 0750", "open/book 0640"]
