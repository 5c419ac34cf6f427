"""Limit requests per second of each principal, of unauthenticated senders, and of the process."""

from collections.abc import Callable
from typing import Final

from refpay.app.errors import RateLimited
from refpay.buckets import Bucket
from refpay.settings import RateSettings

# There are few principals. This bounds the memory even if that changes.
_NAMES_MAXIMUM: Final = 4096


class RateLimiter:
    """The token buckets of one process. A burst may hold one second's worth of requests."""

    def __init__(self, settings: RateSettings, clock: Callable[[], float]) -> None:
        self._settings, self._clock = settings, clock
        self._own: dict[str, Bucket] = {}
        self._whole = self._bucket(settings.whole_per_second)
        self._strangers = self._bucket(settings.strangers_per_second)
        self._refused: dict[str, Bucket] = {}

    def take(self, principal: str) -> None:
        """Count one request of a principal; raises RateLimited, and then no bucket is charged."""
        own = self._own.get(principal)
        if own is None:
            own = self._bucket(self._settings.principal_per_second)
        _take(principal=own, whole=self._whole)
        if principal not in self._own and len(self._own) >= _NAMES_MAXIMUM:
            self._forget()
        self._own[principal] = own

    def take_unauthenticated(self) -> None:
        """Count one unauthenticated request.

        They have a bucket of their own, so they cannot use up that of principals.
        """
        _take(strangers=self._strangers)

    def take_refused(self, provider: str) -> None:
        """Count one refused webhook that names a key of the provider; raises RateLimited.

        Each provider has a bucket of its own, so strangers cannot use it up and hide a provider's mistake.
        """
        refused = self._refused.setdefault(provider, self._bucket(self._settings.refused_per_second))
        _take(refused=refused)

    def _bucket(self, per_second: int) -> Bucket:
        return Bucket(per_second, per_second, self._clock)

    def _forget(self) -> None:
        """Drop full buckets, which are equal to new ones; if none is full, drop the oldest."""
        now = self._clock()
        self._own = {name: bucket for name, bucket in self._own.items() if bucket.full_at > now}
        while len(self._own) >= _NAMES_MAXIMUM:
            del self._own[next(iter(self._own))]


def _take(**buckets: Bucket) -> None:
    for limit, bucket in buckets.items():
        if wait := bucket.wait_seconds():
            said = f"More than {bucket.per_second} requests a second ({limit})."
            raise RateLimited(said, limit, wait_seconds=wait)
    for bucket in buckets.values():
        bucket.take()
