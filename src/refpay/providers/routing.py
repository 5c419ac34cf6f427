"""Choose the provider of a new payment. People change the routing table, code never does."""

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime

from refpay.db.pool import Connection
from refpay.providers.errors import NoProviderAvailable

_READ = "SELECT provider, active, changed_by, changed_at, reason FROM routing.provider ORDER BY provider"
_WRITE = """
    UPDATE routing.provider SET active = $2, changed_by = $3, changed_at = $4, reason = $5 WHERE provider = $1
"""


@dataclass(frozen=True, slots=True)
class Route:
    """The routing of a provider and its last change, which is absent until there is one."""

    provider: str
    active: bool
    changed_by: str | None
    changed_at: datetime | None
    reason: str | None


def choose_provider(routes: Sequence[Route], *, merchant: str, merchant_reference: str) -> str:
    """Return the provider of a new payment: spread evenly, and the same for the same reference.

    Raises NoProviderAvailable if all are drained.
    """
    active = sorted(route.provider for route in routes if route.active)
    if not active:
        raise NoProviderAvailable("no provider is active: every one is drained")
    digest = hashlib.sha256(f"{merchant}\0{merchant_reference}".encode()).digest()
    return active[int.from_bytes(digest[:8], "big") % len(active)]


async def read_routes(connection: Connection, *, lock: bool = False) -> Sequence[Route]:
    """Return the routing of every provider; with `lock`, lock it until this transaction ends."""
    # In a fixed order, so that two changes at once wait for each other instead of deadlocking.
    return [Route(**row) for row in await connection.fetch(f"{_READ} FOR UPDATE" if lock else _READ)]


async def write_route(connection: Connection, route: Route) -> None:
    await connection.execute(_WRITE, *astuple(route))
