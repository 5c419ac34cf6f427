"""An open schedule: requests are due at stated instants, however slowly earlier ones are answered."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from random import Random

Interval = tuple[float, float]
"""From and until when requests are due, in Unix seconds."""


def make_clock() -> Callable[[], float]:
    """Return a clock of Unix seconds that no correction of the system's clock moves."""
    offset = time.time() - time.perf_counter()
    return lambda: offset + time.perf_counter()


@dataclass(frozen=True, slots=True)
class Due:
    """When a checkout is due, and how many before it were given up."""

    at: float
    skipped: int


class Schedule:
    """The due instants of all users together: `rate` a second, each at a random place in its slot.

    Whichever user is free takes the next one. While all are busy, instants pass; their checkouts are begun as
    soon as a user is free, and count from when they were due. At most one checkout a user is made up for, so
    that the load has a limit; older ones are given up and counted.
    """

    def __init__(
        self, *, rate: float, users: int, seed: str, turns: Sequence[Interval], now: Callable[[], float]
    ) -> None:
        self._rate, self._users = rate, users
        self._random = Random(f"{seed}/schedule")  # noqa: S311 - arrivals, not a secret
        self._turns = list(turns) or [(now(), inf)]
        self._slot = 0
        self._now = now

    def take(self) -> Due | None:
        """Return the next due instant; None after the last turn."""
        skipped = 0
        while self._turns:
            begin, end = self._turns[0]
            at = begin + (self._slot + self._random.random()) / self._rate
            self._slot += 1
            if at >= end:
                self._turns.pop(0)
                self._slot = 0
            elif at < self._now() - self._users / self._rate:
                skipped += 1
            else:
                return Due(at, skipped)
        return None
