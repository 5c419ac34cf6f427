"""Servers are started, watched and stopped; what goes wrong is one clear sentence."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from moneypath.stack.errors import (
    FolderUnwritable,
    PortTaken,
    ReaperLost,
    ServerDied,
    ServerNotReady,
    ServerNotStarted,
    death_hint,
)
from moneypath.stack.server import ServerSpec
from moneypath.stack.supervisor import Supervisor

_WITHIN_SECONDS = 60


async def test_a_started_server_is_ready_and_known(supervisor: Supervisor, fake: Any) -> None:
    """A start returns when the health endpoint answers, and the process is listed."""
    spec = fake("shop")
    await supervisor.start(spec)
    assert await spec.ready()
    assert set(supervisor.pids()) == {"shop"}


async def test_servers_are_stopped_in_reverse_order(tmp_path: Path, fake: Any) -> None:
    """The last one started is the first one stopped, also after a restart in between."""
    events = tmp_path / "events"
    async with Supervisor(tmp_path / "run") as supervisor:
        for name in ("one", "two", "three"):
            await supervisor.start(fake(name, events=str(events)))
        await supervisor.restart("one")
    ends = [line.split()[1] for line in events.read_text().splitlines() if line.startswith("stopped")]
    assert ends == ["one", "three", "two", "one"]


async def test_an_exception_stops_the_servers_and_passes_on(tmp_path: Path, fake: Any, ends: Any) -> None:
    """A failure inside the block is not swallowed, and leaves no process."""
    pids: list[int] = []

    async def fail() -> None:
        async with Supervisor(tmp_path / "run") as supervisor:
            await supervisor.start(fake(offspring=True))
            pids.extend([*supervisor.pids().values(), supervisor.reaper_pid])
            raise LookupError("of the test")

    with pytest.raises(LookupError, match="of the test"):
        await fail()
    assert await ends(pids, _WITHIN_SECONDS) == []


async def test_a_cancelled_block_stops_the_servers(tmp_path: Path, fake: Any) -> None:
    """Cancellation, which is what Ctrl-C becomes, ends in an orderly stop."""
    events = tmp_path / "events"
    started = asyncio.Event()

    async def own() -> None:
        async with Supervisor(tmp_path / "run") as supervisor:
            await supervisor.start(fake(events=str(events)))
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(own())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events.read_text().splitlines() == ["started fake", "stopped fake"]


async def test_a_second_request_to_stop_ends_the_politeness(tmp_path: Path, fake: Any) -> None:
    """Cancelled again while a deaf server is given its grace, the stop is at once."""
    started = asyncio.Event()

    async def own() -> None:
        async with Supervisor(tmp_path / "run") as supervisor:
            await supervisor.start(fake(deaf=True, spec={"stop_grace_seconds": 300.0}))
            started.set()

    task = asyncio.create_task(own())
    await started.wait()
    done, _ = await asyncio.wait((task,), timeout=0.3)
    assert not done
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=_WITHIN_SECONDS)
    assert done
    assert task.cancelled()


async def test_a_deaf_server_is_killed_after_its_grace(supervisor: Supervisor, fake: Any, ends: Any) -> None:
    """SIGTERM is ignored, so SIGKILL follows; the stop is bounded."""
    await supervisor.start(fake(deaf=True, spec={"stop_grace_seconds": 0.2}))
    pid = supervisor.pids()["fake"]
    async with asyncio.timeout(_WITHIN_SECONDS):
        await supervisor.stop("fake")
    assert await ends([pid], 0) == []
    assert supervisor.pids() == {}


async def test_a_death_is_reported_with_the_last_log_lines(
    supervisor: Supervisor, fake: Any, tmp_path: Path
) -> None:
    """A server that ends by itself wakes the watcher, who gets its name, its end, its words and its log."""
    await supervisor.start(fake("shop", say="the till is on fire", spec={"hint": "Check its configuration."}))
    watcher = asyncio.create_task(supervisor.watch())
    supervisor._reaper().signal("shop", signal.SIGSEGV)  # as a crash: not through stop() or kill()
    async with asyncio.timeout(_WITHIN_SECONDS):
        with pytest.raises(ServerDied) as died:
            await watcher
    assert died.value.name == "shop"
    assert died.value.exit_status == -signal.SIGSEGV
    assert str(died.value) == (
        "server died: shop (killed by SIGSEGV); its last log lines:\n"
        "    the till is on fire\n"
        f"  Look for the cause in the log of shop (killed by SIGSEGV): {tmp_path}/run/logs/shop.log."
    )


async def test_a_server_that_ran_does_not_blame_a_port(supervisor: Supervisor, fake: Any) -> None:
    """What it logged of other addresses is not why it died."""
    await supervisor.start(fake(say="a customer said: address already in use"))
    supervisor._reaper().signal("fake", signal.SIGKILL)
    async with asyncio.timeout(_WITHIN_SECONDS):
        with pytest.raises(ServerDied, match="killed by SIGKILL"):
            await supervisor.watch()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (-signal.SIGKILL, "Look in `dmesg` whether the kernel lacked memory: nats was killed by SIGKILL; "),
        (-signal.SIGTERM, "Find out who stopped nats (killed by SIGTERM), which is for this command to do; "),
        (0, "Find out who stopped nats (exit code 0), which is for this command to do; "),
        (-signal.SIGABRT, "Look for the cause in the log of nats (killed by SIGABRT): "),
        (-40, "Look for the cause in the log of nats (killed by signal 40): "),
        (3, "Look for the cause in the log of nats (exit code 3): "),
    ],
)
def test_the_hint_follows_from_how_a_server_ended(status: int, words: str) -> None:
    """One sentence, with the server, its end and its log."""
    said = death_hint("nats", status, Path("/run/logs/nats.log"))
    assert said.startswith(words)
    assert said.endswith("/run/logs/nats.log.")


async def test_a_wanted_end_is_no_news(supervisor: Supervisor, fake: Any) -> None:
    """Stop, kill and restart do not wake the watcher."""
    await supervisor.start(fake())
    watcher = asyncio.create_task(supervisor.watch())
    await supervisor.kill("fake")
    await supervisor.restart("fake")
    await supervisor.stop("fake")
    await asyncio.wait((watcher,), timeout=0.1)
    assert not watcher.done()
    watcher.cancel()


async def test_a_second_death_is_news_again(supervisor: Supervisor, fake: Any) -> None:
    """After a death and a restart the watcher works as before."""
    await supervisor.start(fake())
    for _ in range(2):
        supervisor._reaper().signal("fake", signal.SIGKILL)
        async with asyncio.timeout(_WITHIN_SECONDS):
            with pytest.raises(ServerDied):
                await supervisor.watch()
        await supervisor.restart("fake")
    assert set(supervisor.pids()) == {"fake"}


async def test_a_lost_reaper_is_news(tmp_path: Path, fake: Any, ends: Any) -> None:
    """Without its reaper nothing runs and nothing starts; the watcher is told and the block still ends."""
    async with Supervisor(tmp_path / "run") as supervisor:
        await supervisor.start(fake())
        pids = supervisor.pids().values()
        os.kill(supervisor.reaper_pid, signal.SIGKILL)
        async with asyncio.timeout(_WITHIN_SECONDS):
            with pytest.raises(ReaperLost, match=r"reaper\.log"):
                await supervisor.watch()
        assert await ends(pids, _WITHIN_SECONDS) == []
        assert supervisor.pids() == {}
        with pytest.raises(ReaperLost):
            await supervisor.start(fake("another"))


async def test_the_reason_is_shown_though_much_was_logged_after_it(supervisor: Supervisor, fake: Any) -> None:
    """Some servers log a whole orderly stop after the one line that matters; both ends are shown."""
    chatter = "\n".join(f"level=info stopping part {number}" for number in range(50))
    words = f"starting\nlevel=error no such ledger\n{chatter}"
    with pytest.raises(ServerDied) as died:
        await supervisor.start(fake(serves=False, say=words, exit_at_start=1))
    assert died.value.log_lines[0] == "level=error no such ledger"
    assert died.value.log_lines[-1] == "level=info stopping part 49"
    assert len(died.value.log_lines) < 12


async def test_a_death_at_the_start_says_what_was_logged(supervisor: Supervisor, fake: Any) -> None:
    """A server that ends before it is ready fails its start, once, and the watcher hears nothing."""
    with pytest.raises(ServerDied, match=r"exit code 3.*\n    no such ledger"):
        await supervisor.start(fake(serves=False, say="no such ledger", exit_at_start=3))
    assert supervisor.pids() == {}
    assert supervisor._deaths.empty()


async def test_a_server_that_is_never_ready_is_ended(supervisor: Supervisor, fake: Any, ends: Any) -> None:
    """Readiness is bounded, the error says what the probe saw, and no process is left."""
    spec = fake(serves=False, offspring=True, spec={"ready_within_seconds": 0.5})
    with pytest.raises(ServerNotReady, match=r"fake within 0\.5 s"):
        await supervisor.start(spec)
    assert supervisor.pids() == {}


async def test_a_missing_program_is_one_sentence(supervisor: Supervisor) -> None:
    """The operating system's words and the server's hint are shown."""

    async def never() -> bool:
        return False

    spec = ServerSpec(name="shop", command=("/nowhere/shop",), ready=never, hint="Install the shop.")
    with pytest.raises(ServerNotStarted, match=r"shop: .*No such file.*\n  Install the shop."):
        await supervisor.start(spec)


async def test_a_taken_port_is_said_before_the_start(supervisor: Supervisor, fake: Any) -> None:
    """The sentence names port, server and variable, and nothing is started."""
    spec = fake("shop-front")
    with socket.create_server(("127.0.0.1", spec.port)), pytest.raises(PortTaken) as taken:
        await supervisor.start(spec)
    assert f"port taken: {spec.port}" in str(taken.value)
    assert "MONEYPATH_SHOP_FRONT_PORT" in str(taken.value)
    assert not supervisor.log_file("shop-front").exists()


async def test_a_port_taken_in_the_last_moment_is_said(supervisor: Supervisor, fake: Any) -> None:
    """A server that fails to bind says so in its log; that becomes the same sentence."""
    spec = fake(serves=False, say="bind: Address already in use", exit_at_start=1)
    with pytest.raises(PortTaken, match="port taken"):
        await supervisor.start(spec)


async def test_an_unwritable_run_folder_is_one_sentence(tmp_path: Path) -> None:
    """The folder is named; here it lies below a file, which stops root too."""
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnwritable, match=r"file/run.*\n  Choose a run folder"):
        async with Supervisor(tmp_path / "file" / "run"):
            pass


async def test_a_kill_takes_the_grandchildren_along(supervisor: Supervisor, fake: Any) -> None:
    """When kill() returns, not even a grandchild in a session of its own is left."""
    await supervisor.start(fake(offspring=True))
    assert supervisor.memory()["fake"].processes == 2
    await supervisor.kill("fake")
    assert supervisor.memory()["reaper"].processes == 1


async def test_memory_counts_whole_trees(supervisor: Supervisor, fake: Any) -> None:
    """A server's grandchild counts with it, the reaper counts alone."""
    await supervisor.start(fake("lone"))
    await supervisor.start(fake("family", offspring=True))
    reading = supervisor.memory()
    assert {name: each.processes for name, each in reading.items()} == {"lone": 1, "family": 2, "reaper": 1}
    assert set(supervisor.pss_bytes()) == {"lone", "family", "reaper"}
    assert all(1_000_000 < size < 100_000_000 for size in supervisor.pss_bytes().values())


async def test_a_child_inherits_no_secret(
    supervisor: Supervisor, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment of the parent stays there; the specification's own is passed on."""
    monkeypatch.setenv("TOKEN_OF_THE_SHELL", "secret")
    spec = fake(spec={"env": {"WANTED": "yes"}})
    await supervisor.start(spec)
    environment = Path(f"/proc/{supervisor.pids()['fake']}/environ").read_bytes().split(b"\0")
    assert b"WANTED=yes" in environment
    assert not [each for each in environment if b"TOKEN" in each]
    assert "yes" not in repr(spec.env) or "env=" not in repr(spec)


async def test_two_stacks_side_by_side(tmp_path: Path, fake: Any) -> None:
    """Two supervisors in one process do not disturb each other's servers."""
    async with Supervisor(tmp_path / "a") as first:
        await first.start(fake())
        async with Supervisor(tmp_path / "b") as second:
            await second.start(fake())
            assert first.pids() != second.pids()
        assert first.pids()


def test_a_server_name_is_a_file_name() -> None:
    """A name becomes the log's name, so a path is refused."""

    async def never() -> bool:
        return False

    with pytest.raises(ValueError, match="server name"):
        ServerSpec(name="../x", command=(sys.executable,), ready=never)
