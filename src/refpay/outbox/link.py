"""Keeps one connection to NATS, for ever: whoever needs it asks whether there is one now."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from nats.aio.client import Client
from nats.js.errors import NoStreamResponseError, NotFoundError

from refpay.outbox.durability import SyncRefused, require_synced
from refpay.outbox.streams import ANSWER_SECONDS, MESSAGING_ERRORS, Session, open_session
from refpay.settings import MessagingSettings

_LOG: Final = structlog.get_logger()
_FIRST_PAUSE_SECONDS: Final = 0.1
# Under the worker's readiness window: a pause must never look like a stuck loop.
_PAUSE_MOST_SECONDS: Final = 5.0
_PING_SECONDS: Final = 2
_JITTER: Final = 0.5
_DOUBLINGS_MAXIMUM: Final = 30


def backoff_seconds(failures: int, *, base_seconds: float, cap_seconds: float, draw: float) -> float:
    """Return base x 2^(failures - 1), capped, then spread by +-50 % with `draw`, uniform in 0..1.

    Spread, so that what failed together does not come back together.
    """
    doublings = min(max(failures, 1) - 1, _DOUBLINGS_MAXIMUM)
    return float(min(cap_seconds, base_seconds * 2**doublings) * (1 - _JITTER + 2 * _JITTER * draw))


class Link:
    """A connection that is replaced whole when it breaks, so that nothing stale is ever sent on it."""

    def __init__(self, settings: MessagingSettings) -> None:
        self._settings = settings
        self._closed = asyncio.Event()
        self.session: Session | None = None

    def renew(self) -> None:
        """Have the connection replaced, and what is missing on the server made again."""
        self._closed.set()

    async def run(self) -> None:
        """Connect, and connect again with growing pauses, until cancelled."""
        failures = 0
        while True:
            try:
                await self._hold()
                failures = 0
            except MESSAGING_ERRORS as problem:
                failures += 1
                said = str(problem) if isinstance(problem, SyncRefused) else type(problem).__name__
                _LOG.warning("messaging_away", failures=failures, problem=said)
            await asyncio.sleep(pause_seconds(failures))

    async def _hold(self) -> None:
        self._closed = closed = asyncio.Event()
        if not self._settings.allow_unsafe:
            await require_synced(self._settings.monitoring_url)

        async def note_closed() -> None:
            closed.set()

        # Not `nats.connect`, which leaves the socket of a refused connection open.
        client = Client()
        try:
            await client.connect(
                self._settings.url,
                user=self._settings.user,
                password=self._settings.password,
                name="refpay-worker",
                allow_reconnect=False,
                connect_timeout=int(ANSWER_SECONDS),
                ping_interval=_PING_SECONDS,
                max_outstanding_pings=2,
                closed_cb=note_closed,
                error_cb=_note_error,
            )
            self.session = await open_session(
                client,
                ack_wait_seconds=self._settings.ack_wait_seconds,
                in_flight=self._settings.in_flight_maximum,
            )
            _LOG.info("messaging_connected")
            await closed.wait()
        finally:
            self.session = None
            with suppress(*MESSAGING_ERRORS):
                await client.close()


@dataclass(slots=True)
class Patient:
    """An action that needs NATS: its failures are logged and paused after, and are nobody else's."""

    name: str
    link: Link
    action: Callable[[Session], Awaitable[object]]
    failures: int = 0

    async def __call__(self) -> None:
        """Act once if there is a connection; raises only what is not NATS's fault."""
        session = self.link.session
        if session is None:
            return
        try:
            await self.action(session)
        except MESSAGING_ERRORS as problem:
            self.failures += 1
            _LOG.warning("messaging_failed", duty=self.name, problem=type(problem).__name__)
            if isinstance(problem, NoStreamResponseError | NotFoundError):
                self.link.renew()
            await asyncio.sleep(pause_seconds(self.failures))
        else:
            self.failures = 0


def pause_seconds(failures: int) -> float:
    """Return the pause after so many failures in a row; never none."""
    return backoff_seconds(
        failures,
        base_seconds=_FIRST_PAUSE_SECONDS,
        cap_seconds=_PAUSE_MOST_SECONDS / 1.5,
        draw=random.random(),  # noqa: S311  # spreads pauses, guards nothing
    )


async def _note_error(problem: Exception) -> None:
    _LOG.warning("messaging_error", problem=type(problem).__name__)
