"""Reads and writes the routing table."""

from collections.abc import Sequence

from refpay.db.pool import Connection
from refpay.providers.routing import Route

_READ = "SELECT provider, active, changed_by, changed_at, reason FROM routing.provider ORDER BY provider"
# In one order, so that two changes at once queue up instead of deadlocking.
_LOCK = f"{_READ} FOR UPDATE"
_WRITE = """
    UPDATE routing.provider SET active = $2, changed_by = $3, changed_at = $4, reason = $5 WHERE provider = $1
"""


async def read_routes(connection: Connection) -> Sequence[Route]:
    """Return every provider's routing."""
    return [Route(**row) for row in await connection.fetch(_READ)]


async def lock_routes(connection: Connection) -> Sequence[Route]:
    """Return every provider's routing; nobody else changes any until this transaction ends."""
    return [Route(**row) for row in await connection.fetch(_LOCK)]


async def write_route(connection: Connection, route: Route) -> None:
    """Change a provider's routing."""
    await connection.execute(
        _WRITE, route.provider, route.active, route.changed_by, route.changed_at, route.reason
    )
