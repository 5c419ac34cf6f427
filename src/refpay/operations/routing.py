"""The routing lever: drain a provider, or restore it; audited, undoable, never the last one."""

from collections.abc import Sequence
from datetime import datetime

from refpay.audit.events import SubjectKind
from refpay.audit.repository import record
from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.encoding import encode
from refpay.errors import RefpayError
from refpay.payments.claims import Command, Reply, StoredAnswer
from refpay.payments.once import pull_once
from refpay.providers.routing import Route, read_routes, write_route


class ProviderUnknown(RefpayError, code="provider_unknown", status=404):
    """There is no such provider."""


class LastActiveProvider(RefpayError, code="last_active_provider", status=409):
    """The last active provider cannot be drained."""

    # Draining the last active provider would stop all payments.


class Routing:
    """The door to the routing table."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def read(self) -> bytes:
        """Return every provider's routing as JSON."""
        async with self._database.transaction() as connection:
            routes = await read_routes(connection)
        return encode({"providers": [_describe(route) for route in routes]})

    async def change(self, command: Command, provider: str, *, active: bool, reason: str) -> Reply:
        """Drain or restore a provider for new payments; changes nothing if it is so already.

        Raises ProviderUnknown or KeyReused; the refusal to drain the last active one is an answer.
        """
        now = self._clock.now()

        async def pull(connection: Connection) -> StoredAnswer:
            wanted = Route(provider, active, command.principal.name, now, reason)
            return await _change(connection, command, wanted, now)

        return await pull_once(self._database, command, pull, now=now, answered=LastActiveProvider)


async def _change(connection: Connection, command: Command, after: Route, now: datetime) -> StoredAnswer:
    routes = await read_routes(connection, lock=True)
    before = _find(routes, after.provider)
    if before.active == after.active:
        return StoredAnswer.of(200, {**_describe(before), "changed": False})
    if not after.active and not any(one.active for one in routes if one.provider != after.provider):
        raise LastActiveProvider(f"no other provider is active: {after.provider} stays active")
    await write_route(connection, after)
    event = command.audit(
        "provider.restored" if after.active else "provider.drained",
        SubjectKind.PROVIDER,
        after.provider,
        before={"routing_active": before.active, "reason": before.reason},
        after={"routing_active": after.active, "reason": after.reason},
        now=now,
    )
    await record(connection, event)
    return StoredAnswer.of(200, {**_describe(after), "changed": True})


def _find(routes: Sequence[Route], provider: str) -> Route:
    for route in routes:
        if route.provider == provider:
            return route
    raise ProviderUnknown(
        f"there is no such provider, allowed: {', '.join(route.provider for route in routes)}"
    )


def _describe(route: Route) -> dict[str, object]:
    return {
        "provider": route.provider,
        "routing_active": route.active,
        "changed_by": route.changed_by,
        "changed_at": route.changed_at,
        "reason": route.reason,
    }
