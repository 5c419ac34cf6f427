"""A simulated process of the service: it stalls, dies at any step, and restarts with an empty memory."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from proofs.simulation.scheduler import Scheduler

T = TypeVar("T")

_STALL_SECONDS: Final = 12.0


class ProcessDead(BaseException):
    """Unwinds the tasks of a killed process."""


class Unreachable(Exception):
    """The process died before it answered."""


class Process:
    """Tasks that share a memory and die together; it restarts later with an empty memory."""

    def __init__(self, scheduler: Scheduler, name: str, boot: "Callable[[Process], None]") -> None:
        self.scheduler, self.name = scheduler, name
        self.alive = self._ended = False
        self.stalled = False
        self.incarnation = 0
        self.on_kill: list[Callable[[], None]] = []
        self._boot = boot
        # In the order of creation; the order of a set would differ from run to run.
        self._tasks: dict[asyncio.Task[Any], None] = {}
        scheduler.processes.append(self)

    def start(self) -> None:
        """Start with an empty memory, unless it runs."""
        if not self.alive and not self._ended:
            self.alive = True
            self.scheduler.note(f"{self.name} starts")
            self._boot(self)

    def kill(self, *, restarts: bool = True) -> None:
        """End at once at any step, and restart later."""
        if not self.alive:
            return
        self.scheduler.note(f"{self.name} is KILLED")
        self.alive = False
        self.incarnation += 1
        for abort in self.on_kill:
            abort()
        self.on_kill.clear()
        tasks, self._tasks = self._tasks, {}
        for task in tasks:
            task.cancel()
        if restarts:
            self.scheduler.loop.call_later(self.scheduler.random.choice((0.1, 2.0, 9.0)), self.start)

    def stall(self) -> None:
        """Stop for longer than any deadline of a call, and then continue."""
        if self.alive and not self.stalled:
            self.scheduler.note(f"{self.name} stands still")
            self.stalled = True
            self.scheduler.loop.call_later(_STALL_SECONDS, self._resume)

    def _resume(self) -> None:
        self.stalled = False

    def end(self) -> None:
        """End for good at the end of the history."""
        self._ended = True
        self.kill(restarts=False)

    def check(self, incarnation: int) -> None:
        """Raise ProcessDead in tasks of an earlier incarnation."""
        if incarnation != self.incarnation:
            raise ProcessDead

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Start a task that dies with the process."""
        task = self.scheduler.loop.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            # Retrieve the exception, or asyncio would log it.
            task.exception()

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run something in the process and wait for it; raises Unreachable if the process dies first."""
        if not self.alive:
            raise Unreachable
        task = self.spawn(_awaited(work))
        await asyncio.wait({task})
        if task.cancelled() or isinstance(task.exception(), ProcessDead):
            raise Unreachable
        return task.result()


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
