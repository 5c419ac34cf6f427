"""Watch whether the broker takes messages, and name why it does not."""

from collections.abc import Mapping
from typing import Final

import structlog

from moneypath.telemetry import Recorder
from moneypath.telemetry.catalogue.vocabulary import WriteRefusal
from refpay.outbox.nats_connection import MessagingAction, NatsConnection
from refpay.outbox.write_refusals import name_failure, read_refusals

_LOG: Final = structlog.get_logger()
# One publication without an answer may have lost its connection.
_FAILURES_UNANSWERED: Final = 2
_UNREACHABLE: Final = "unreachable"


class BrokerWatch:
    """Exports why the broker takes no messages; each change is logged.

    Payments go on meanwhile, because the outbox holds the messages. `relay` is the job that publishes them.
    """

    def __init__(
        self,
        monitoring_url: str,
        nats_connection: NatsConnection,
        relay: MessagingAction,
        recorder: Recorder,
    ) -> None:
        self._monitoring_url, self._nats_connection, self._relay = monitoring_url, nats_connection, relay
        self._gauge = recorder.gauge("moneypath_broker_writes_refused")
        self._refusals: Mapping[WriteRefusal, str] = {}

    async def measure(self) -> None:
        """Export what is known. While NATS is away nothing is, and the gauge is absent."""
        try:
            found = await read_refusals(self._monitoring_url)
        except (OSError, TimeoutError):
            found = {}
        if not found and self._nats_connection.session is None:
            for cause in WriteRefusal:
                self._gauge.clear(cause=cause.value)
            return
        if not found and (cause_of_relay := self._ask_relay()) is not None:
            found = {cause_of_relay: f"{self._relay.failures} publications in a row failed"}
        for cause in WriteRefusal:
            self._gauge.set(int(cause in found), cause=cause.value)
        self._log(found)
        self._refusals = found

    def trouble(self) -> str | None:
        """Return what keeps messages from the broker, for readiness to say, or None."""
        if self._refusals:
            return ", ".join(cause.value for cause in self._refusals)
        return _UNREACHABLE if self._nats_connection.session is None else None

    def _ask_relay(self) -> WriteRefusal | None:
        cause = name_failure(self._relay.problem)
        if cause is WriteRefusal.UNANSWERED and self._relay.failures < _FAILURES_UNANSWERED:
            return None
        return cause

    def _log(self, found: Mapping[WriteRefusal, str]) -> None:
        for cause, words in found.items():
            if cause not in self._refusals:
                _LOG.error("broker_refuses_writes", cause=cause.value, said=words)
        if self._refusals and not found:
            _LOG.info("broker_takes_writes", before=[cause.value for cause in self._refusals])
