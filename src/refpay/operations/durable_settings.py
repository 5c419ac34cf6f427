"""Check at start-up and at runtime that PostgreSQL and JetStream keep what they acknowledge."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from refpay.clock import Clock
from refpay.db import durability as database_durability
from refpay.db.pool import Database
from refpay.errors import StartRefused
from refpay.outbox import durability as messaging_durability
from refpay.settings import MessagingSettings, Settings

CHECK: Final = "durable_settings"
OVERRIDE: Final = "REFPAY_ALLOW_UNSAFE_DURABILITY=1"
_LOG: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting and its value. The value is None if the server does not answer."""

    name: str
    value: str | None
    needed: tuple[str, ...]

    @property
    def unsafe(self) -> bool:
        """Return whether acknowledged data can be lost."""
        return self.value is not None and self.value not in self.needed

    def __str__(self) -> str:
        return f"{self.name} is {self.value}, needed: {' or '.join(self.needed)}"


@dataclass(frozen=True, slots=True)
class SettingsRound:
    """The result of one check."""

    at: datetime
    settings: tuple[Setting, ...]


async def read_settings(database: Database, messaging: MessagingSettings | None) -> tuple[Setting, ...]:
    """Return every setting. Raises DatabaseUnavailable; the value of NATS is None if it does not answer."""
    async with database.transaction() as connection:
        found: Mapping[str, str] = await database_durability.read_settings(connection)
    settings = [Setting(name, found[name], needed) for name, needed in database_durability.NEEDED.items()]
    if messaging is not None:
        try:
            value = await messaging_durability.read_sync_interval(messaging.monitoring_url)
        except (OSError, TimeoutError):
            value = None
        settings.append(Setting(messaging_durability.SETTING, value, (messaging_durability.NEEDED,)))
    return tuple(settings)


async def require_durable(database: Database, settings: Settings) -> None:
    """Raise StartRefused if any setting is unsafe.

    If the override is set, log a warning instead; the alert still pages.

    NATS that does not answer does not prevent the start: payments work without it, and nothing is published
    to it before its setting is known.
    """
    found = await read_settings(database, settings.messaging)
    unsafe = "; ".join(str(setting) for setting in found if setting.unsafe)
    if unsafe and not settings.allow_unsafe_durability:
        raise StartRefused(
            f"{unsafe}: a power cut would lose acknowledged data. "
            f"Change the setting, or set {OVERRIDE} to start all the same and be paged for it."
        )
    if unsafe:
        _LOG.warning("durability_unsafe", settings=unsafe)


async def check_settings(
    database: Database, messaging: MessagingSettings | None, *, clock: Clock
) -> SettingsRound:
    """Check again, because a server may be reloaded, replaced or demoted. Raises DatabaseUnavailable."""
    return SettingsRound(clock.now(), await read_settings(database, messaging))
