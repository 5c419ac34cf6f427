"""However the owner of a stack ends, no process of the stack is left; each mechanism has its mutant."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from moneypath.stack.reaper_link import REAPER_SCRIPT

REAL_PARENT = Path(__file__).with_name("real_parent.py")
_GONE_WITHIN_SECONDS = 30.0


@contextlib.asynccontextmanager
async def _parent(
    folder: Path, **options: Any
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(REAL_PARENT),
        str(folder),
        json.dumps(options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told: dict[str, Any] = {"all": []}
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        if not line:
            pytest.fail((await process.communicate())[1].decode())
        told = json.loads(line)
        yield process, told
    finally:
        for pid in told["all"]:  # what a mutant left behind
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _mutant(folder: Path, sound: str, broken: str) -> Path:
    source = REAPER_SCRIPT.read_text()
    assert source.count(sound) == 1, f"the mutation no longer fits: {sound}"
    script = folder / "reaper.py"
    script.write_text(source.replace(sound, broken))
    return script


async def test_nothing_outlives_a_killed_parent(tmp_path: Path, ends: Any) -> None:
    """SIGKILL of the owner ends servers, grandchildren and a PostgreSQL backend that is busy computing."""
    async with _parent(tmp_path, postgres=True) as (process, told):
        assert len(told["all"]) > len(told["servers"]) + 5
        assert any("SELECT" in command for command in told["commands"]), told["commands"]
        process.kill()
        assert await ends([told["reaper"], *told["all"]], _GONE_WITHIN_SECONDS) == []


async def test_no_server_outlives_a_killed_reaper(tmp_path: Path, ends: Any) -> None:
    """If the reaper itself is killed, the parent-death signal ends the servers."""
    async with _parent(tmp_path) as (_, told):
        os.kill(told["reaper"], signal.SIGKILL)
        assert await ends(told["servers"].values(), _GONE_WITHIN_SECONDS) == []


@pytest.mark.parametrize(
    ("sound", "broken", "victim"),
    [
        pytest.param(
            "prctl(PR_SET_PDEATHSIG, signal.SIGKILL)", "pass", "reaper", id="no parent-death signal"
        ),
        pytest.param("prctl(PR_SET_CHILD_SUBREAPER, 1)", "pass", "parent", id="no subreaper"),
        pytest.param(
            "        self._end()\n", "        pass\n", "parent", id="no end at the end of the socket"
        ),
    ],
)
async def test_a_broken_reaper_leaves_orphans(
    tmp_path: Path, ends: Any, sound: str, broken: str, victim: str
) -> None:
    """Without any one of its mechanisms something survives, so the tests above can fail."""
    async with _parent(tmp_path, reaper=str(_mutant(tmp_path, sound, broken))) as (process, told):
        os.kill(told["reaper"] if victim == "reaper" else process.pid, signal.SIGKILL)
        watched = told["servers"].values() if victim == "reaper" else told["all"]
        assert await ends(watched, 1.0) != []


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -signal.SIGINT)]
)
async def test_a_signal_ends_the_stack_in_order(
    tmp_path: Path, ends: Any, number: signal.Signals, status: int
) -> None:
    """SIGTERM, SIGHUP and Ctrl-C stop the servers politely, last one first, and nothing is left."""
    async with _parent(tmp_path) as (process, told):
        process.send_signal(number)
        assert await ends([process.pid, told["reaper"], *told["all"]], _GONE_WITHIN_SECONDS) == []
        assert await process.wait() == status
    events = (tmp_path / "events").read_text().splitlines()
    assert events == ["started first", "started second", "stopped second", "stopped first"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
async def test_a_signal_ends_a_nested_supervisor_too(
    tmp_path: Path, ends: Any, number: signal.Signals, status: int
) -> None:
    """A drill's load has a supervisor of its own, in a task: the whole still stops politely, inside first."""
    async with _parent(tmp_path, nested=True) as (process, told):
        process.send_signal(number)
        assert await ends([process.pid, told["reaper"], *told["all"]], _GONE_WITHIN_SECONDS) == []
        assert await process.wait() == status
    events = (tmp_path / "events").read_text().splitlines()
    assert events[-3:] == ["stopped third", "stopped second", "stopped first"]


async def test_what_must_not_stay_goes_with_a_killed_parent(tmp_path: Path, ends: Any) -> None:
    """Secrets and addresses are removed although nobody is left to tidy up; the rest stays."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").touch()
    for name in ("endpoints.json", "evidence"):
        (tmp_path / name).touch()
    async with _parent(tmp_path, remove=["secrets", "endpoints.json", "never made"]) as (process, told):
        process.kill()
        assert await ends([told["reaper"], *told["all"]], _GONE_WITHIN_SECONDS) == []
    assert not (tmp_path / "secrets").exists()
    assert not (tmp_path / "endpoints.json").exists()
    assert (tmp_path / "evidence").exists()
