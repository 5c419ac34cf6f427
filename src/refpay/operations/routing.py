"""The routing lever: drain a provider, or restore it; audited, undoable, never the last one."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from functools import partial

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
        self._database, self._clock = database, clock

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
        pull = partial(_change, command, Route(provider, active, command.principal.name, now, reason), now)
        return await pull_once(self._database, command, pull, now=now, answered=LastActiveProvider)


async def _change(command: Command, after: Route, now: datetime, connection: Connection) -> StoredAnswer:
    routes = {route.provider: route for route in await read_routes(connection, lock=True)}
    require_provider(after.provider, routes)
    before = routes.pop(after.provider)
    if before.active == after.active:
        return StoredAnswer.of(200, {**_describe(before), "changed": False})
    if not after.active and not any(other.active for other in routes.values()):
        raise LastActiveProvider(f"no other provider is active: {after.provider} stays active")
    await write_route(connection, after)
    action = "provider.restored" if after.active else "provider.drained"
    was, is_now = ({"routing_active": route.active, "reason": route.reason} for route in (before, after))
    subject = (SubjectKind.PROVIDER, after.provider)
    await record(connection, command.audit(action, *subject, before=was, after=is_now, now=now))
    return StoredAnswer.of(200, {**_describe(after), "changed": True})


def require_provider(provider: str, allowed: Iterable[str]) -> None:
    """Raise ProviderUnknown unless the provider is one of those."""
    names = sorted(allowed)
    if provider not in names:
        raise ProviderUnknown(f"there is no such provider, allowed: {', '.join(names)}")


def _describe(route: Route) -> dict[str, object]:
    facts = asdict(route)
    return facts | {"routing_active": facts.pop("active")}
