"""Which providers take new payments; a lever for people, never for code."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from refpay.providers.errors import NoProviderAvailable


@dataclass(frozen=True, slots=True)
class Route:
    """A provider's routing and its last change; the change is absent until there is one."""

    provider: str
    active: bool
    changed_by: str | None
    changed_at: datetime | None
    reason: str | None


def choose_provider(routes: Sequence[Route], *, merchant: str, merchant_reference: str) -> str:
    """Return the provider of a new payment: spread evenly, and the same for the same reference.

    Raises NoProviderAvailable when all are drained.
    """
    active = sorted(route.provider for route in routes if route.active)
    if not active:
        raise NoProviderAvailable("no provider is active: every one is drained")
    digest = hashlib.sha256(f"{merchant}\0{merchant_reference}".encode()).digest()
    return active[int.from_bytes(digest[:8], "big") % len(active)]
