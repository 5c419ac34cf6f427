"""How many requests a second are taken: of each principal, of strangers, and of all together."""

from collections.abc import Callable
from typing import Final

from refpay.app.errors import RateLimited
from refpay.settings import RateSettings

# Principals are a closed set; this bounds the memory whatever becomes of that.
_NAMES_MAXIMUM: Final = 4096
_BURST_SECONDS: Final = 1.0


class Rates:
    """Token buckets of one process, each kept as the instant at which it would be full again.

    That is the generic cell rate algorithm (ITU-T I.371, annex A): one number a bucket, and no refilling.
    """

    def __init__(self, settings: RateSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._whole_full_at = self._strangers_full_at = clock()

    def take(self, principal: str) -> None:
        """Take one request of a principal; raises RateLimited, and then nothing is taken of anybody."""
        now = self._clock()
        own = self._full_at.get(principal, now)
        own = _next(own, now, self._settings.principal_per_second, "principal")
        self._whole_full_at = _next(self._whole_full_at, now, self._settings.whole_per_second, "whole")
        if principal not in self._full_at and len(self._full_at) >= _NAMES_MAXIMUM:
            self._forget(now)
        self._full_at[principal] = own

    def take_stranger(self) -> None:
        """Take one request of somebody unknown: those must not use up what is for the others."""
        rate = self._settings.strangers_per_second
        self._strangers_full_at = _next(self._strangers_full_at, self._clock(), rate, "strangers")

    def _forget(self, now: float) -> None:
        """Forget full buckets, which are as good as new ones; if there is none, the oldest."""
        self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        while len(self._full_at) >= _NAMES_MAXIMUM:
            del self._full_at[next(iter(self._full_at))]


def _next(full_at: float, now: float, per_second: int, limit: str) -> float:
    wait = full_at - now + 1 / per_second - _BURST_SECONDS
    # A rate of one a second has a burst of one; the sum of floats must not take it away.
    if wait > 1e-9:
        raise RateLimited(
            f"too many requests, allowed: {per_second} a second ({limit})", limit, wait_seconds=wait
        )
    return max(full_at, now) + 1 / per_second
