"""Who goes on next: every statement, call and answer waits here for its turn, and a seed gives the turns."""

import asyncio
import bisect
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from simulation.loop import VirtualLoop

if TYPE_CHECKING:
    from simulation.process import Process

# The seeds share a database: each has a time of its own, and merchants of its own.
_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_APART: Final = timedelta(hours=6)
_STEPS_MOST: Final = 20_000
# How often a statement is looked at, each time after two milliseconds in which nothing came.
_SLOW_MOST: Final = 5_000


class Violation(Exception):
    """What must never be, is."""


class Monitor(Protocol):
    """Looks at the server from outside, without the loop."""

    def blockers(self, backends: set[int]) -> dict[int, set[int]]:
        """Return which of these backends wait for a lock, and for whom."""
        ...

    def wait_gone(self, backends: set[int]) -> None:
        """Return once these backends are gone."""
        ...


@dataclass(slots=True, eq=False)
class Point:
    """Where something waits for its turn."""

    number: int
    label: str
    owner: "Process | None"
    turn: "asyncio.Future[None]"
    # Whose statement it is if it may have to wait for a lock.
    locking: int | None


@dataclass(slots=True)
class Weather:
    """How bad the safety phase is; each is a probability at its kind of step."""

    kill: float = 0.0
    lose_connection: float = 0.0
    lose_commit: float = 0.0
    stall: float = 0.0
    jump: float = 0.0
    provider: float = 0.0
    webhooks: float = 0.0
    steps: int = 300


@dataclass(slots=True, eq=False)
class World:
    """One history."""

    seed: int
    loop: VirtualLoop
    monitor: Monitor
    random: Random = field(init=False)
    weather: Weather = field(init=False)
    trace: list[str] = field(default_factory=list)
    healed: bool = False
    steps: int = 0
    failure: Violation | None = None
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _parked: list[Point] = field(default_factory=list)
    processes: "list[Process]" = field(default_factory=list)
    _begun: float = field(init=False)
    _slow: int = 0
    _jumped: timedelta = timedelta()
    _stop: Callable[[], object] = lambda: None
    on_jump: list[Callable[[], None]] = field(default_factory=list)
    on_commit: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 - a schedule, not a secret
        draw = self.random
        self.weather = Weather(
            kill=draw.choice((0.0, 0.003, 0.01, 0.03)),
            lose_connection=draw.choice((0.0, 0.0, 0.01)),
            lose_commit=draw.choice((0.0, 0.02, 0.1)),
            stall=draw.choice((0.0, 0.01, 0.02)),
            jump=draw.choice((0.0, 0.0, 0.01)),
            provider=draw.choice((0.0, 0.2, 0.5, 0.8)),
            webhooks=draw.choice((0.0, 0.0, 0.3)),
            steps=draw.choice((100, 300, 600)),
        )
        self._begun = self.loop.time()

    def now(self) -> datetime:
        """Return the wall clock that all processes share."""
        passed = timedelta(seconds=self.loop.time() - self._begun)
        return _EPOCH + self.seed * _APART + self._jumped + passed

    def chance(self, probability: float) -> bool:
        """Draw whether a fault strikes; never once healed."""
        return not self.healed and probability > 0 and self.random.random() < probability

    def number(self) -> int:
        """Return the next number of a history."""
        return next(self._numbers)

    async def turn(
        self,
        label: str,
        owner: "Process | None" = None,
        number: int | None = None,
        locking: int | None = None,
    ) -> None:
        """Wait for a turn.

        Two statements that one COMMIT sets free end in whatever order; the number of their connections
        orders them.
        """
        number = self.number() if number is None else number
        point = Point(number, label, owner, self.loop.create_future(), locking)
        bisect.insort(self._parked, point, key=_number_of)
        try:
            await point.turn
        finally:
            # Killed, or out of time, before its turn came.
            if point in self._parked:
                self._parked.remove(point)

    def heal(self) -> None:
        """End the faults; whoever is dead comes back."""
        self.healed = True
        for process in self.processes:
            process.start()

    async def committed(self) -> None:
        """Look at the books after a COMMIT."""
        for look in self.on_commit:
            await look()

    def note(self, text: str) -> None:
        """Write a line of the history."""
        self.trace.append(f"{self.loop.time() - self._begun:9.3f}  {text}")

    def fail(self, text: str) -> None:
        """End the history: it broke a promise."""
        if self.failure is None:
            self.note(f"VIOLATION {text}")
            self.failure = Violation(text)
            self.loop.call_soon(self._stop)

    @contextmanager
    def running(self, stop: Callable[[], object]) -> Iterator[None]:
        """Let this history have the loop's turns; `stop` ends it early."""
        self._stop = stop
        selector = self.loop.selector
        selector.on_quiet, selector.on_slow = self._step, self._step_if_all_wait
        try:
            yield
        finally:
            selector.on_quiet = selector.on_slow = lambda: None

    def _step_if_all_wait(self) -> None:
        selector = self.loop.selector
        if not selector.in_flight <= selector.waiting.keys():
            selector.waiting = self.monitor.blockers(selector.in_flight)
            self._slow += 1
        if self._slow > _SLOW_MOST:
            self.fail("a statement neither ends nor waits for anybody who could go on")
        elif selector.in_flight <= selector.waiting.keys():
            self._step(set().union(*(selector.waiting[backend] for backend in selector.in_flight)))

    def _step(self, blockers: set[int] | None = None) -> None:
        """Draw what comes next; with `blockers`, everything that was begun waits for them.

        Then nobody else may begin to wait: which of two that wait gets the lock is PostgreSQL's to say, and
        it says now this, now that.
        """
        self.steps += 1
        self._slow = 0
        if self.failure is not None:
            return
        if self.steps > _STEPS_MOST:
            self.fail("the history does not end")
            return
        if not self.healed and self.steps > self.weather.steps:
            self.note("all faults heal")
            self.heal()
        if self._strike():
            return
        timer = self.loop.next_timer()
        free = [
            point
            for point in self._parked
            if (blockers is None or point.locking in (None, *blockers))
            and (point.owner is None or not point.owner.stalled)
        ]
        if free and (timer is None or self.random.random() < 0.97):
            chosen = self.random.choice(free)
            self._parked.remove(chosen)
            self.note(chosen.label)
            chosen.turn.set_result(None)
        elif timer is not None:
            self.loop.advance(timer)
        elif not self.loop.selector.in_flight:
            self.fail("nothing goes on, and not all is done")

    def _strike(self) -> bool:
        """Draw faults; return whether one took the turn."""
        if self.chance(self.weather.kill):
            self.random.choice(self.processes).kill()
            return True
        if self.chance(self.weather.stall):
            # The API twice as often: what it sends too late is the rarest of all.
            self.random.choice((*self.processes, self.processes[0])).stall()
        if self.chance(self.weather.jump) and not any("arrives" in point.label for point in self._parked):
            for arrive in self.on_jump:
                arrive()
            self._jumped += timedelta(seconds=self.random.choice((-0.4, 0.4, 8, 3600)))
            self.note(f"the clocks jump: {self.now()}")
        return False


def _number_of(point: Point) -> int:
    return point.number
