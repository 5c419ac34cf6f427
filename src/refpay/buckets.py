"""Token buckets: so many a second, and so many at once."""

from collections.abc import Callable


class Bucket:
    """Kept as the instant at which it would be full again: one number, and no refilling.

    That is the generic cell rate algorithm (ITU-T I.371, annex A). `clock` gives monotonic seconds.
    """

    __slots__ = ("_burst", "_clock", "full_at", "per_second")

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float]) -> None:
        self.per_second, self._burst, self._clock = per_second, burst, clock
        self.full_at = clock()

    def wait_seconds(self) -> float:
        """Return how long to wait for the next one; 0 if it may be taken now."""
        wait = self.full_at - self._clock() + (1 - self._burst) / self.per_second
        # With a burst of one, the sum of floats must not take it away.
        return wait if wait > 1e-9 else 0.0

    def take(self) -> None:
        """Take one, whether or not it is there."""
        self.full_at = max(self.full_at, self._clock()) + 1 / self.per_second
