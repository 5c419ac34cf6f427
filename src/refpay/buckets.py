"""Limit rates by token bucket."""

from collections.abc import Callable


class Bucket:
    """A token bucket, stored as the instant at which it would be full again.

    That is the generic cell rate algorithm (ITU-T I.371, annex A). `clock` returns monotonic seconds.
    """

    __slots__ = ("_burst", "_clock", "full_at", "per_second")

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float]) -> None:
        self.per_second, self._burst, self._clock = per_second, burst, clock
        self.full_at = clock()

    def wait_seconds(self) -> float:
        """Return how long to wait for the next token; 0 if one can be taken now."""
        wait = self.full_at - self._clock() + (1 - self._burst) / self.per_second
        # With a burst of one, a rounding error must not refuse the one token.
        return wait if wait > 1e-9 else 0.0

    def take(self) -> None:
        """Take one token, whether or not one is available."""
        self.full_at = max(self.full_at, self._clock()) + 1 / self.per_second
