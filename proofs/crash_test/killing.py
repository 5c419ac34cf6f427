"""Send the SIGKILLs of a round, restart the processes, and measure how long they take to recover."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from proofs.crash_test.schedule import KillPattern, Process, Round
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_fixed

from moneypath.stack.errors import ServerDied
from moneypath.stack.supervisor import Supervisor

# A process that refuses to start without its database is started again, as by a process manager.
_STARTS_MAX: Final = 30
_START_AGAIN_SECONDS: Final = 0.2
_LOOK_EVERY_SECONDS: Final = 0.005
# Used until a recovery of the process has been measured.
_RECOVERY_GUESS_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Recovery:
    """One recovery: seconds from the last start, and from the first kill, until the process answered."""

    process: Process
    started_seconds: float
    dead_seconds: float


@dataclass(slots=True)
class Killer:
    """Kills processes of its supervisor by process id, and no others."""

    supervisor: Supervisor
    kills: dict[Process, int] = field(default_factory=lambda: dict.fromkeys(Process, 0))
    in_recovery: int = 0
    refused_starts: int = 0
    recoveries: list[Recovery] = field(default_factory=list)

    async def run(self, plan: Round) -> list[Recovery]:
        """Run one round and return the recoveries; raises the errors of the supervisor."""
        begun = time.monotonic()
        await self._kill(plan.victims)
        await asyncio.sleep(plan.dead_seconds)
        if plan.pattern is KillPattern.AGAIN:
            await self._kill_in_recovery(plan.victims[0], plan.second_kill_at)
        async with asyncio.TaskGroup() as group:
            returning = [group.create_task(self._restart(victim, begun)) for victim in plan.victims]
        found = [task.result() for task in returning]
        self.recoveries += found
        return found

    async def _kill(self, victims: Iterable[Process]) -> None:
        async with asyncio.TaskGroup() as group:
            for victim in victims:
                group.create_task(self.supervisor.kill(victim))
                self.kills[victim] += 1

    async def _kill_in_recovery(self, victim: Process, share: float) -> None:
        """Start a process and kill it again, if possible before it answers."""
        last = next((each for each in reversed(self.recoveries) if each.process is victim), None)
        delay = share * (_RECOVERY_GUESS_SECONDS if last is None else last.started_seconds)
        starting = asyncio.create_task(self.supervisor.restart(victim))
        # There is no event for "it has a process by now".
        while victim not in self.supervisor.pids() and not starting.done():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        await asyncio.wait({starting}, timeout=delay)
        # Cancelling a start ends its process with SIGKILL.
        starting.cancel()
        await asyncio.wait({starting})
        if starting.cancelled():
            self.in_recovery += 1
        else:
            starting.result()
            await self.supervisor.kill(victim)
        self.kills[victim] += 1

    async def _restart(self, victim: Process, died: float) -> Recovery:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(ServerDied),
            stop=stop_after_attempt(_STARTS_MAX),
            wait=wait_fixed(_START_AGAIN_SECONDS),
            before_sleep=self._count_refused_start,
            reraise=True,
        ):
            with attempt:
                begun = time.monotonic()
                await self.supervisor.restart(victim)
        now = time.monotonic()
        return Recovery(victim, now - begun, now - died)

    def _count_refused_start(self, _: RetryCallState) -> None:
        self.refused_starts += 1
