"""The scheduler: every statement, call and answer waits here for its turn, and the seed decides the order."""

import asyncio
import bisect
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, Protocol

from proofs.simulation.loop import VirtualLoop

# Seeds share a database, so each has its own time and its own merchants.
_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SEED_SPACING: Final = timedelta(hours=6)
_STEPS_MAXIMUM: Final = 20_000
# The maximum number of checks of one slow statement, one every two milliseconds.
_SLOW_MAXIMUM: Final = 5_000


class InvariantViolated(Exception):
    """An invariant does not hold."""


class LockMonitor(Protocol):
    """Watches the server's locks from outside the loop."""

    def blockers(self, backends: set[int]) -> dict[int, set[int]]:
        """Return which of these backends wait for a lock, and for which other backends."""
        ...

    def wait_gone(self, backends: set[int]) -> None:
        """Wait until these backends have ended."""
        ...


class Killable(Protocol):
    """A process as the scheduler sees it."""

    @property
    def stalled(self) -> bool:
        """Whether it is stalled, so that its steps must wait."""
        ...

    def start(self) -> None:
        """Start, unless it runs."""
        ...

    def kill(self) -> None:
        """End at once, and restart later."""
        ...

    def stall(self) -> None:
        """Stop for a while."""
        ...

    def end(self) -> None:
        """End for good at the end of the history."""
        ...


@dataclass(slots=True, eq=False)
class WaitingStep:
    """A step that waits for its turn."""

    number: int
    label: str
    owner: Killable | None
    resumed: "asyncio.Future[None]"
    # The backend of the statement, if it may wait for a lock.
    locking: int | None


@dataclass(slots=True)
class FaultRates:
    """The probability of each kind of fault; `steps` is how long faults last."""

    kill: float = 0.0
    lose_connection: float = 0.0
    lose_commit: float = 0.0
    stall: float = 0.0
    clock_jump: float = 0.0
    provider: float = 0.0
    webhooks: float = 0.0
    steps: int = 300


@dataclass(slots=True, eq=False)
class Scheduler:
    """The scheduler of one history, with its random numbers, clock, faults and trace."""

    seed: int
    loop: VirtualLoop
    monitor: LockMonitor
    random: Random = field(init=False)
    fault_rates: FaultRates = field(init=False)
    trace: list[str] = field(default_factory=list)
    healed: bool = False
    steps: int = 0
    failure: InvariantViolated | None = None
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _waiting_steps: list[WaitingStep] = field(default_factory=list)
    processes: list[Killable] = field(default_factory=list)
    _begun: float = field(init=False)
    _slow: int = 0
    _clock_offset: timedelta = timedelta()
    _stop: Callable[[], object] = lambda: None
    on_clock_jump: list[Callable[[], None]] = field(default_factory=list)
    on_commit: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 - a schedule, not a secret
        draw = self.random
        self.fault_rates = FaultRates(
            kill=draw.choice((0.0, 0.003, 0.01, 0.03)),
            lose_connection=draw.choice((0.0, 0.0, 0.01)),
            lose_commit=draw.choice((0.0, 0.02, 0.1)),
            stall=draw.choice((0.0, 0.01, 0.02)),
            clock_jump=draw.choice((0.0, 0.0, 0.01)),
            provider=draw.choice((0.0, 0.2, 0.5, 0.8)),
            webhooks=draw.choice((0.0, 0.0, 0.3)),
            steps=draw.choice((100, 300, 600)),
        )
        self._begun = self.loop.time()

    def now(self) -> datetime:
        """Return the wall-clock time, which all processes share."""
        passed = timedelta(seconds=self.loop.time() - self._begun)
        return _EPOCH + self.seed * _SEED_SPACING + self._clock_offset + passed

    def chance(self, probability: float) -> bool:
        """Draw whether a fault happens; never after `heal`."""
        return not self.healed and probability > 0 and self.random.random() < probability

    def number(self) -> int:
        """Return the next sequence number of the history."""
        return next(self._numbers)

    async def wait_for_turn(
        self,
        label: str,
        owner: Killable | None = None,
        number: int | None = None,
        locking: int | None = None,
    ) -> None:
        """Wait until the scheduler selects this step.

        Two statements that one COMMIT unblocks end in any order, so the numbers of their connections order
        them.
        """
        number = self.number() if number is None else number
        step = WaitingStep(number, label, owner, self.loop.create_future(), locking)
        bisect.insort(self._waiting_steps, step, key=_number_of)
        try:
            await step.resumed
        finally:
            # It was killed or timed out before its turn.
            if step in self._waiting_steps:
                self._waiting_steps.remove(step)

    def heal(self) -> None:
        """End the faults and restart dead processes."""
        self.healed = True
        for process in self.processes:
            process.start()

    async def committed(self) -> None:
        """Check the invariants after a COMMIT."""
        for look in self.on_commit:
            await look()

    def note(self, text: str) -> None:
        """Append a line to the trace."""
        self.trace.append(f"{self.loop.time() - self._begun:9.3f}  {text}")

    def fail(self, text: str) -> None:
        """End the history because an invariant does not hold."""
        if self.failure is None:
            self.note(f"VIOLATION {text}")
            self.failure = InvariantViolated(text)
            self.loop.call_soon(self._stop)

    @contextmanager
    def running(self, stop: Callable[[], object]) -> Iterator[None]:
        """Schedule the loop's steps for this history; `stop` ends it early."""
        self._stop = stop
        selector = self.loop.selector
        selector.on_idle, selector.on_blocked = self._step, self._step_if_all_wait
        try:
            yield
        finally:
            selector.on_idle = selector.on_blocked = lambda: None

    def _step_if_all_wait(self) -> None:
        selector = self.loop.selector
        if not selector.in_flight <= selector.waiting.keys():
            selector.waiting = self.monitor.blockers(selector.in_flight)
            self._slow += 1
        if self._slow > _SLOW_MAXIMUM:
            self.fail("a statement neither ends nor waits for anybody who could go on")
        elif selector.in_flight <= selector.waiting.keys():
            self._step(set().union(*(selector.waiting[backend] for backend in selector.in_flight)))

    def _step(self, blockers: set[int] | None = None) -> None:
        """Select the next step. With `blockers`, all running statements wait for these backends.

        In that case no other step may begin to wait for a lock: PostgreSQL decides which of two waiting
        statements gets it, and not always in the same way.
        """
        self.steps += 1
        self._slow = 0
        if self.failure is not None:
            return
        if self.steps > _STEPS_MAXIMUM:
            self.fail("the history does not end")
            return
        if not self.healed and self.steps > self.fault_rates.steps:
            self.note("all faults heal")
            self.heal()
        if self._inject_fault():
            return
        timer = self.loop.next_timer()
        free = [
            step
            for step in self._waiting_steps
            if (blockers is None or step.locking in (None, *blockers))
            and (step.owner is None or not step.owner.stalled)
        ]
        if free and (timer is None or self.random.random() < 0.97):
            chosen = self.random.choice(free)
            self._waiting_steps.remove(chosen)
            self.note(chosen.label)
            chosen.resumed.set_result(None)
        elif timer is not None:
            self.loop.advance(timer)
        elif not self.loop.selector.in_flight:
            self.fail("nothing goes on, and not all is done")

    def _inject_fault(self) -> bool:
        """Draw faults; return whether one replaces this step."""
        if self.chance(self.fault_rates.kill):
            self.random.choice(self.processes).kill()
            return True
        if self.chance(self.fault_rates.stall):
            # The API twice as often, because late requests are the rarest case.
            self.random.choice((*self.processes, self.processes[0])).stall()
        if self.chance(self.fault_rates.clock_jump) and not any(
            "arrives" in step.label for step in self._waiting_steps
        ):
            for arrive in self.on_clock_jump:
                arrive()
            self._clock_offset += timedelta(seconds=self.random.choice((-0.4, 0.4, 8, 3600)))
            self.note(f"the clocks jump: {self.now()}")
        return False


def _number_of(step: WaitingStep) -> int:
    return step.number
