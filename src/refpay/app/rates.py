"""How many requests a second are taken: of each principal, of strangers, and of all together."""

from collections.abc import Callable
from typing import Final

from refpay.app.errors import RateLimited
from refpay.buckets import Bucket
from refpay.settings import RateSettings

# Principals are a closed set; this bounds the memory whatever becomes of that.
_NAMES_MAXIMUM: Final = 4096


class Rates:
    """The buckets of one process; a second's worth may come at once."""

    def __init__(self, settings: RateSettings, clock: Callable[[], float]) -> None:
        self._settings, self._clock = settings, clock
        self._own: dict[str, Bucket] = {}
        self._whole = self._bucket(settings.whole_per_second)
        self._strangers = self._bucket(settings.strangers_per_second)

    def take(self, principal: str) -> None:
        """Take one request of a principal; raises RateLimited, and then nothing is taken of anybody."""
        own = self._own.get(principal)
        if own is None:
            own = self._bucket(self._settings.principal_per_second)
        _take(principal=own, whole=self._whole)
        if principal not in self._own and len(self._own) >= _NAMES_MAXIMUM:
            self._forget()
        self._own[principal] = own

    def take_stranger(self) -> None:
        """Take one request of somebody unknown: those must not use up what is for the others."""
        _take(strangers=self._strangers)

    def _bucket(self, per_second: int) -> Bucket:
        return Bucket(per_second, per_second, self._clock)

    def _forget(self) -> None:
        """Forget full buckets, which are as good as new ones; if there is none, the oldest."""
        now = self._clock()
        self._own = {name: bucket for name, bucket in self._own.items() if bucket.full_at > now}
        while len(self._own) >= _NAMES_MAXIMUM:
            del self._own[next(iter(self._own))]


def _take(**buckets: Bucket) -> None:
    for limit, bucket in buckets.items():
        if wait := bucket.wait_seconds():
            said = f"too many requests, allowed: {bucket.per_second} a second ({limit})"
            raise RateLimited(said, limit, wait_seconds=wait)
    for bucket in buckets.values():
        bucket.take()
