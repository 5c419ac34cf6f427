"""Sends the SIGKILLs of a round, starts the dead again and measures how long that took."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from moneypath.stack.errors import ServerDied
from moneypath.stack.supervisor import Supervisor
from torture.schedule import Form, Process, Round

# As a process manager would: what refuses to start without its database is started again.
_STARTS_MOST: Final = 30
_START_AGAIN_SECONDS: Final = 0.2
_LOOK_EVERY_SECONDS: Final = 0.005
# Before the first recovery of a process was measured.
_RECOVERY_GUESS_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Recovery:
    """One return to life: seconds from its last start, and from its first death, until it answered."""

    process: Process
    started_seconds: float
    dead_seconds: float


@dataclass(slots=True)
class Killer:
    """Kills what its supervisor started, by process id, and nothing else."""

    supervisor: Supervisor
    kills: dict[Process, int] = field(default_factory=lambda: dict.fromkeys(Process, 0))
    in_recovery: int = 0
    refused_starts: int = 0
    recoveries: list[Recovery] = field(default_factory=list)

    async def run(self, plan: Round) -> list[Recovery]:
        """Do one round and return who came back; raises what the supervisor raises."""
        begun = time.monotonic()
        await self._kill(plan.victims)
        await asyncio.sleep(plan.dead_seconds)
        if plan.form is Form.AGAIN:
            await self._kill_in_recovery(plan.victims[0], plan.again_at)
        async with asyncio.TaskGroup() as group:
            returning = [group.create_task(self._revive(victim, begun)) for victim in plan.victims]
        found = [task.result() for task in returning]
        self.recoveries += found
        return found

    async def _kill(self, victims: Iterable[Process]) -> None:
        async with asyncio.TaskGroup() as group:
            for victim in victims:
                group.create_task(self.supervisor.kill(victim))
                self.kills[victim] += 1

    async def _kill_in_recovery(self, victim: Process, share: float) -> None:
        """Start it and kill it again, before it answers if it does not answer sooner than it used to."""
        last = next((each for each in reversed(self.recoveries) if each.process is victim), None)
        delay = share * (_RECOVERY_GUESS_SECONDS if last is None else last.started_seconds)
        starting = asyncio.create_task(self.supervisor.restart(victim))
        # There is no event for "it has a process by now".
        while victim not in self.supervisor.pids() and not starting.done():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        await asyncio.wait({starting}, timeout=delay)
        # A start that is given up ends its process with SIGKILL, and only that.
        starting.cancel()
        await asyncio.wait({starting})
        if starting.cancelled():
            self.in_recovery += 1
        else:
            starting.result()
            await self.supervisor.kill(victim)
        self.kills[victim] += 1

    async def _revive(self, victim: Process, died: float) -> Recovery:
        for left in reversed(range(_STARTS_MOST)):
            begun = time.monotonic()
            try:
                await self.supervisor.restart(victim)
            except ServerDied:
                if not left:
                    raise
                self.refused_starts += 1
                await asyncio.sleep(_START_AGAIN_SECONDS)
            else:
                now = time.monotonic()
                return Recovery(victim, now - begun, now - died)
        raise AssertionError("unreachable: the last start returns or raises")
