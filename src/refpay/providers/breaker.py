"""A circuit breaker: calls to a provider that is down fail at once. They do not fail over to another one."""

from collections import deque
from typing import Final

from refpay.clock import Clock
from refpay.measures import ServiceMetrics
from refpay.providers.errors import CircuitOpened, ProviderError
from refpay.providers.port import Answer, Call, Provider

# High on purpose: people decide on a partial outage. A breaker that opens on it would turn some failures into
# a full outage.
_FAILURES_SHARE: Final = 0.9
_WINDOW_SECONDS: Final = 10.0
_OPEN_SECONDS: Final = 1.0


class CircuitBreakerProvider:
    """Opens when nine tenths of the last `calls` calls failed, all of them within the last ten seconds.

    Counts whole calls, retries included. While it is open, one call at a time goes through as a probe.
    """

    def __init__(
        self, provider: Provider, *, clock: Clock, measures: ServiceMetrics, calls: int = 20
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._measures = measures
        # For each of the last calls: when it ended, and whether it succeeded.
        self._recent: deque[tuple[float, bool]] = deque(maxlen=calls)
        self._failures_least = calls * _FAILURES_SHARE
        self._probe_at: float | None = None
        self._probing = False
        self.name = provider.name
        measures.set_circuit(self.name, opened=False)

    def require_closed(self) -> None:
        """Raise CircuitOpened if a call made now would not be sent. Does not use up the probe."""
        if self._probe_at is not None and (self._probing or self._clock.monotonic() < self._probe_at):
            raise CircuitOpened(self.name)

    async def perform(self, call: Call) -> Answer:
        """Perform the call, or raise CircuitOpened at once."""
        self.require_closed()
        probing = self._probing = self._probe_at is not None
        # A call that is cancelled, or fails on our side, says nothing about the provider; a probe then fails.
        healthy = not probing
        try:
            answer = await self._provider.perform(call)
            healthy = True
        except ProviderError:
            healthy = False
            raise
        else:
            return answer
        finally:
            if probing:
                self._probing = False
            self._note(healthy=healthy, probing=probing)

    def _note(self, *, healthy: bool, probing: bool) -> None:
        now = self._clock.monotonic()
        if probing:
            if healthy:
                self._recent.clear()
            self._set(None if healthy else now + _OPEN_SECONDS)
        # Calls that began before the circuit opened are not counted.
        elif self._probe_at is None:
            self._recent.append((now, healthy))
            lately = now - _WINDOW_SECONDS
            # A success never opens the circuit.
            failures = 0 if healthy else sum(at >= lately and not good for at, good in self._recent)
            if failures >= self._failures_least:
                self._set(now + _OPEN_SECONDS)

    def _set(self, probe_at: float | None) -> None:
        self._probe_at = probe_at
        self._measures.set_circuit(self.name, opened=probe_at is not None)
