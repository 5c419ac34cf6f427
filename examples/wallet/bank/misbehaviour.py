"""What the bank was told to do wrong: each is a lease, and ends by itself when nobody renews it."""

import secrets
import time
from dataclasses import dataclass, field
from random import Random
from typing import Final

KINDS: Final = ("silent_after_moving", "refuse")
LONGEST_LEASE_SECONDS: Final = 600


@dataclass(slots=True)
class Lease:
    """One misbehaviour, for a share of the orders, until `ends`."""

    id: str
    kind: str
    share: float
    ends: float
    random: Random
    hits: int = 0


@dataclass(slots=True)
class Misbehaviour:
    """All that are switched on."""

    leases: dict[str, Lease] = field(default_factory=dict)

    def begin(self, kind: str, share: float, seconds: float, seed: int) -> Lease:
        """Begin one."""
        lease = Lease(secrets.token_hex(6), kind, share, time.monotonic() + seconds, Random(seed))  # noqa: S311 - no secret
        self.leases[lease.id] = lease
        return lease

    def renew(self, name: str, seconds: float) -> bool:
        """Let one last longer; False if it has ended."""
        lease = self.active().get(name)
        if lease is not None:
            lease.ends = time.monotonic() + seconds
        return lease is not None

    def active(self) -> dict[str, Lease]:
        """Return those that have not ended."""
        now = time.monotonic()
        self.leases = {name: one for name, one in self.leases.items() if one.ends > now}
        return self.leases

    def hit(self, kind: str) -> Lease | None:
        """Return the lease that hits this order, if one does."""
        for lease in self.active().values():
            if lease.kind == kind and lease.random.random() < lease.share:
                lease.hits += 1
                return lease
        return None
