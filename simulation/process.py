"""A process of the simulated service: it stands still, dies anywhere, and comes back with an empty memory."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from simulation.world import World

T = TypeVar("T")

_STALL_SECONDS: Final = 12.0


class ProcessDead(BaseException):
    """Unwinds what a killed process was doing; nothing of it reaches anybody."""


class Unreachable(Exception):
    """The process died before it answered."""


class Process:
    """What shares a memory and dies together; comes back after a while with an empty memory."""

    def __init__(self, world: World, name: str, boot: "Callable[[Process], None]") -> None:
        self.world, self.name = world, name
        self.alive = self._ended = False
        self.stalled = False
        self.life = 0
        self.on_kill: list[Callable[[], None]] = []
        self._boot = boot
        # In the order of their beginning; a set's order would differ from run to run.
        self._tasks: dict[asyncio.Task[Any], None] = {}
        world.processes.append(self)

    def start(self) -> None:
        """Begin with an empty memory, unless it is there."""
        if not self.alive and not self._ended:
            self.alive = True
            self.world.note(f"{self.name} starts")
            self._boot(self)

    def kill(self, *, comes_back: bool = True) -> None:
        """End at once, wherever it is, and come back later."""
        if not self.alive:
            return
        self.world.note(f"{self.name} is KILLED")
        self.alive = False
        self.life += 1
        for abort in self.on_kill:
            abort()
        self.on_kill.clear()
        tasks, self._tasks = self._tasks, {}
        for task in tasks:
            task.cancel()
        if comes_back:
            self.world.loop.call_later(self.world.random.choice((0.1, 2.0, 9.0)), self.start)

    def stall(self) -> None:
        """Stand still for longer than any deadline of a call, and then go on as if nothing had been."""
        if self.alive and not self.stalled:
            self.world.note(f"{self.name} stands still")
            self.stalled = True
            self.world.loop.call_later(_STALL_SECONDS, self._wake)

    def _wake(self) -> None:
        self.stalled = False

    def end(self) -> None:
        """End for good, with the history."""
        self._ended = True
        self.kill(comes_back=False)

    def check(self, life: int) -> None:
        """Raise ProcessDead in what belongs to a life that is over."""
        if life != self.life:
            raise ProcessDead

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run something that dies with the process."""
        task = self.world.loop.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            # Looked at, or asyncio would complain of an error that nobody saw.
            task.exception()

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Have the process do something and wait for it; raises Unreachable if it dies first."""
        if not self.alive:
            raise Unreachable
        task = self.spawn(_awaited(work))
        await asyncio.wait({task})
        if task.cancelled() or isinstance(task.exception(), ProcessDead):
            raise Unreachable
        return task.result()


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
