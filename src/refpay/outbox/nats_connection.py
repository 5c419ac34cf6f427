"""Keep one connection to NATS. Its users ask whether it is up before they use it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from nats.aio.client import Client
from nats.js.errors import NoStreamResponseError, NotFoundError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from refpay.outbox.durability import SyncRefused, require_synced
from refpay.outbox.streams import ANSWER_SECONDS, MESSAGING_ERRORS, Session, open_session
from refpay.settings import MessagingSettings

_LOG: Final = structlog.get_logger()
_FIRST_PAUSE_SECONDS: Final = 0.1
# Below the worker's readiness window, so that a pause does not make a job look stuck.
_PAUSE_MAXIMUM_SECONDS: Final = 5.0
_PING_SECONDS: Final = 2
_JITTER: Final = 0.5
_DOUBLINGS_MAXIMUM: Final = 30

Sleep = Callable[[float], Awaitable[None]]


def backoff_seconds(failures: int, *, base_seconds: float, cap_seconds: float, draw: float) -> float:
    """Return base x 2^(failures - 1), capped, then spread by +-50 % with `draw`, uniform in 0..1.

    The spread keeps what failed together from being repeated together.
    """
    doublings = min(max(failures, 1) - 1, _DOUBLINGS_MAXIMUM)
    return float(min(cap_seconds, base_seconds * 2**doublings) * (1 - _JITTER + 2 * _JITTER * draw))


class NatsConnection:
    """A connection that is replaced as a whole when it breaks, so that nothing stale is ever sent on it."""

    def __init__(self, settings: MessagingSettings, sleep: Sleep = asyncio.sleep) -> None:
        self._settings, self._sleep = settings, sleep
        self._closed = asyncio.Event()
        self.session: Session | None = None

    def renew(self) -> None:
        """Replace the connection, and create streams and consumers that are missing on the server."""
        self._closed.set()

    async def run(self) -> None:
        """Connect, and connect again with growing pauses, until cancelled."""
        while True:
            # A new series of attempts for each connection, so that the pauses begin small again.
            retrying = AsyncRetrying(
                retry=retry_if_exception_type(MESSAGING_ERRORS),
                wait=lambda state: pause_seconds(state.attempt_number),
                before_sleep=_log_failure,
                sleep=self._sleep,
            )
            await retrying(self._hold)
            await self._sleep(pause_seconds(1))

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
class MessagingAction:
    """An action that needs NATS. Its failures are logged and followed by a pause, and are not raised."""

    name: str
    nats_connection: NatsConnection
    action: Callable[[Session], Awaitable[object]]
    # In a row, on the connection that there is.
    failures: int = 0
    problem: Exception | None = None
    sleep: Sleep = asyncio.sleep

    async def __call__(self) -> None:
        """Run the action once if there is a connection. Raises only errors that are not those of NATS."""
        session = self.nats_connection.session
        if session is None:
            # What failed on a connection that is gone says nothing about the next one.
            self.problem = None
            return
        try:
            await self.action(session)
        except MESSAGING_ERRORS as problem:
            self.failures += 1
            self.problem = problem
            _LOG.warning("messaging_failed", job=self.name, problem=type(problem).__name__)
            if isinstance(problem, NoStreamResponseError | NotFoundError):
                self.nats_connection.renew()
            await self.sleep(pause_seconds(self.failures))
        else:
            self.failures, self.problem = 0, None


def pause_seconds(failures: int) -> float:
    """Return the pause after so many failures in a row."""
    return backoff_seconds(
        failures,
        base_seconds=_FIRST_PAUSE_SECONDS,
        cap_seconds=_PAUSE_MAXIMUM_SECONDS / (1 + _JITTER),
        draw=random.random(),  # noqa: S311  # spreads pauses, guards nothing
    )


def _log_failure(state: RetryCallState) -> None:
    problem = state.outcome.exception() if state.outcome else None
    said = str(problem) if isinstance(problem, SyncRefused) else type(problem).__name__
    _LOG.warning("messaging_away", failures=state.attempt_number, problem=said)


async def _note_error(problem: Exception) -> None:
    _LOG.warning("messaging_error", problem=type(problem).__name__)
