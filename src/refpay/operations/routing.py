"""Drain a provider or restore it.

Both are audited and can be undone; the last active provider cannot be drained.
"""

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
from refpay.payments.idempotent_actions import execute_once
from refpay.providers.routing import Route, read_routes, write_route


class ProviderUnknown(RefpayError, code="provider_unknown", status=404):
    """There is no such provider."""


class LastActiveProvider(RefpayError, code="last_active_provider", status=409):
    """The last active provider cannot be drained."""

    # Draining the last active provider would stop all payments.


class Routing:
    """Reads and changes the routing of providers."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def read(self) -> bytes:
        """Return every provider's routing as JSON."""
        async with self._database.transaction() as connection:
            routes = await read_routes(connection)
        return encode({"providers": [_describe(route) for route in routes]})

    async def change(self, command: Command, provider: str, *, active: bool, reason: str) -> Reply:
        """Drain or restore a provider for new payments. Changes nothing if it is already so.

        Raises ProviderUnknown or KeyReused. A refusal to drain the last active provider is stored as the
        answer.
        """
        now = self._clock.now()
        execute = partial(_change, command, Route(provider, active, command.principal.name, now, reason), now)
        return await execute_once(self._database, command, execute, now=now, answered=LastActiveProvider)


async def _change(command: Command, after: Route, now: datetime, connection: Connection) -> StoredAnswer:
    routes = {route.provider: route for route in await read_routes(connection, lock=True)}
    require_provider(after.provider, routes)
    before = routes.pop(after.provider)
    if before.active == after.active:
        return StoredAnswer.of(200, {**_describe(before), "changed": False})
    if not after.active and not any(other.active for other in routes.values()):
        raise LastActiveProvider(f"No other provider is active, so {after.provider} stays active.")
    await write_route(connection, after)
    action = "provider.restored" if after.active else "provider.drained"
    was, is_now = ({"routing_active": route.active, "reason": route.reason} for route in (before, after))
    subject = (SubjectKind.PROVIDER, after.provider)
    await record(connection, command.audit(action, *subject, before=was, after=is_now, now=now))
    return StoredAnswer.of(200, {**_describe(after), "changed": True})


def require_provider(provider: str, allowed: Iterable[str]) -> None:
    """Raise ProviderUnknown if the provider is not allowed."""
    names = sorted(allowed)
    if provider not in names:
        raise ProviderUnknown(f"The provider is not one of: {', '.join(names)}.")


def _describe(route: Route) -> dict[str, object]:
    facts = asdict(route)
    return facts | {"routing_active": facts.pop("active")}
