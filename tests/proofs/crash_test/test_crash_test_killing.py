"""Rounds are carried out on real processes: who was killed, how often, and who came back."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from proofs.crash_test.killing import Killer
from proofs.crash_test.schedule import KillPattern, Process, Round

from moneypath.stack.errors import ServerDied
from moneypath.stack.server import Probe, ServerSpec
from moneypath.stack.supervisor import Supervisor

FOREVER = "import time; time.sleep(600)"


class Gate:
    """Says when the processes of a test answer."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.asked = asyncio.Event()
        self.open.set()

    def probe(self) -> Probe:
        async def ready() -> bool:
            self.asked.set()
            return self.open.is_set()

        return ready


@pytest_asyncio.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    async with Supervisor(tmp_path / "run") as running:
        yield running


def _spec(process: Process, gate: Gate, program: str = FOREVER) -> ServerSpec:
    return ServerSpec(name=process.value, command=(sys.executable, "-c", program), ready=gate.probe())


def _round(pattern: KillPattern, *victims: Process) -> Round:
    return Round(pattern, victims, captures_before=1, dead_seconds=0, second_kill_at=0.5)


async def test_two_at_once_are_killed_once_each_and_return(supervisor: Supervisor) -> None:
    """Both have a new process afterwards, and nobody takes their death for news."""
    gate = Gate()
    for process in (Process.API, Process.NATS):
        await supervisor.start(_spec(process, gate))
    before = supervisor.pids()
    killer = Killer(supervisor)
    returned = await killer.run(_round(KillPattern.AT_ONCE, Process.API, Process.NATS))
    assert {each.process for each in returned} == {Process.API, Process.NATS}
    assert all(supervisor.pids()[name] != pid for name, pid in before.items())
    assert (killer.kills[Process.API], killer.kills[Process.NATS]) == (1, 1)
    assert (killer.in_recovery, killer.refused_starts) == (0, 0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(supervisor.watch(), 0.05)


async def test_a_process_that_does_not_answer_yet_is_killed_again(supervisor: Supervisor) -> None:
    """The second kill meets a start that is under way; the third process answers."""
    gate = Gate()
    await supervisor.start(_spec(Process.POSTGRES, gate))
    gate.open.clear()
    gate.asked.clear()
    killer = Killer(supervisor)
    running = asyncio.create_task(killer.run(_round(KillPattern.AGAIN, Process.POSTGRES)))
    await gate.asked.wait()
    first = supervisor.pids()[Process.POSTGRES]
    while supervisor.pids().get(Process.POSTGRES) in (first, None):  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.01)
    gate.open.set()
    (returned,) = await running
    assert killer.kills[Process.POSTGRES] == 2
    assert killer.in_recovery == 1
    assert returned.dead_seconds >= returned.started_seconds > 0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(supervisor.watch(), 0.05)


async def test_a_process_that_answers_at_once_is_killed_all_the_same(supervisor: Supervisor) -> None:
    """It counts as a kill, and not as one during a recovery."""
    gate = Gate()
    await supervisor.start(_spec(Process.NATS, gate))
    killer = Killer(supervisor)
    plan = Round(KillPattern.AGAIN, (Process.NATS,), captures_before=1, dead_seconds=0, second_kill_at=20)
    await killer.run(plan)
    assert (killer.kills[Process.NATS], killer.in_recovery) == (2, 0)
    assert Process.NATS in supervisor.pids()


async def test_a_start_that_is_refused_is_made_again(supervisor: Supervisor, tmp_path: Path) -> None:
    """As a process manager would: the service refuses to start while its database is dead."""
    marker = tmp_path / "tried"
    program = f"import pathlib, sys, time; p = pathlib.Path({str(marker)!r}); n = len(p.read_text())\n"
    program += "p.write_text('x' * (n + 1)); sys.exit(2) if n in (1, 2) else time.sleep(600)"
    marker.write_text("")

    wanted = 1

    async def ready() -> bool:
        return len(marker.read_text()) == wanted

    await supervisor.start(ServerSpec(name=Process.API, command=(sys.executable, "-c", program), ready=ready))
    killer, wanted = Killer(supervisor), 4
    await killer.run(_round(KillPattern.ALONE, Process.API))
    assert killer.refused_starts == 2


async def test_a_process_that_ends_by_itself_ends_the_run(supervisor: Supervisor) -> None:
    """One that cannot recover although nothing else is dead is a finding."""
    gate = Gate()
    await supervisor.start(_spec(Process.API, gate))
    gate.open.clear()
    await supervisor.kill(Process.API)
    await _replace(supervisor, _spec(Process.API, gate, "import sys; sys.exit(2)"))
    killer = Killer(supervisor)
    plan = Round(KillPattern.AGAIN, (Process.API,), captures_before=1, dead_seconds=0, second_kill_at=20)
    with pytest.raises(ServerDied):
        await killer.run(plan)


async def _replace(supervisor: Supervisor, spec: ServerSpec) -> None:
    with pytest.raises(ServerDied):
        await supervisor.start(spec)
