"""Keep a trickle of checkouts going on a stack that has no other load.

Without traffic a healthy stack pages for missing traffic, and half of its board is empty.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Final, Protocol

from moneypath.alerting.recorded import TRAFFIC_SECONDS
from moneypath.drills.load import LoadPlan
from moneypath.drills.scenario import Load
from moneypath.drills.target_load import TargetLoad
from moneypath.path.model import MoneyPath
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.server import ServerSpec
from moneypath.target.loader import Target
from moneypath.workflows import stack_lock

# Two names, so that one load test can start before the other stops.
NAMES: Final = ("trickle-a", "trickle-b")
# A load test ends by itself after an hour; the next one takes over well before that, with an empty log.
ROUND_SECONDS: Final = 1800.0
CHECK_SECONDS: Final = 0.5
# Times the events that the traffic alert asks for, so that chance does not fall below it.
MARGIN: Final = 3
MAX_CHECKOUTS_PER_SECOND: Final = 20
USERS: Final = 20
SEED: Final = 1
CARD_RANGES: Final = {"411111": 6, "550000": 4}


class LoadTests(Protocol):
    """Starts and stops load tests; a supervisor does."""

    async def start(self, spec: ServerSpec) -> None:
        """Start a load test and wait for its first answer."""

    async def stop(self, name: str) -> None:
        """Stop a load test in order."""


def checkouts_per_second(path: MoneyPath, scale: int) -> int:
    """Return the lowest rate at which no alert for missing traffic fires, with a margin."""
    floors = [slo.traffic.min_events for slo in path.availability_slos() if slo.traffic]
    events = max(floors, default=1) * max(1, len(path.providers)) * MARGIN
    return min(MAX_CHECKOUTS_PER_SECOND, max(1, math.ceil(events * scale / TRAFFIC_SECONDS)))


@dataclass(frozen=True, slots=True)
class Trickle:
    """A load test at a low rate; it pauses while a drill holds the stack.

    A stack that is a `target` with a load of its own is driven by that.
    """

    load_tests: LoadTests
    project: Path
    endpoints: Endpoints
    checkouts_per_second: int
    target: Target | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self) -> None:
        """Keep checkouts going until cancelled, and stop them then."""
        names = cycle(NAMES)
        current = ""
        age = 0.0
        try:
            while True:
                if stack_lock.is_held(self.endpoints.run_folder):
                    current = await self._replace(current, "")
                elif not current or age >= ROUND_SECONDS:
                    current, age = await self._replace(current, next(names)), 0.0
                await self.sleep(CHECK_SECONDS)
                age += CHECK_SECONDS
        finally:
            await asyncio.shield(self._replace(current, ""))

    async def _replace(self, current: str, name: str) -> str:
        """Start the load test `name`, then stop `current`; an empty name stands for none."""
        if name:
            await self.load_tests.start(self._spec(name))
        if current:
            await self.load_tests.stop(current)
        return name

    def _spec(self, name: str) -> ServerSpec:
        log_file = self.endpoints.run_folder / f"{name}.jsonl"
        log_file.unlink(missing_ok=True)
        if self.target is not None:
            own = TargetLoad(self.target, log_file, self.checkouts_per_second, USERS, SEED).spec()
            if own is not None:
                return replace(own, name=name)
        load = Load(checkouts_per_second=self.checkouts_per_second, users=USERS, card_ranges=CARD_RANGES)
        return replace(LoadPlan(self.project, self.endpoints, log_file, load, SEED).spec(), name=name)


@contextlib.asynccontextmanager
async def flowing(trickle: Trickle) -> AsyncIterator[None]:
    """Keep checkouts going while the block runs; raises what keeps them from flowing."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(trickle.run(), name="trickle of checkouts")
        yield
        task.cancel()
