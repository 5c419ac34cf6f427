"""A circuit breaker: a provider that is down is not waited for. It fails fast and fails over to nobody."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from refpay.clock import Clock
from refpay.measures import Measures
from refpay.providers.errors import CircuitOpened, ProviderError
from refpay.providers.port import Answer, Call, Provider


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When to open and when to try again.

    Opens when at least `failures_share` of the last `calls` calls failed, all within
    `window_seconds`. The share is high on purpose: a partial outage is for people to judge, and a
    breaker that trips on it would turn a third of the failures into all of them.
    """

    calls: int = 20
    failures_share: float = 0.9
    window_seconds: float = 10.0
    open_seconds: float = 1.0


DEFAULT_BREAKER: Final = BreakerSettings()


class BreakingProvider:
    """Counts whole calls, retries included; while open, one call at a time goes through to probe."""

    def __init__(
        self,
        provider: Provider,
        *,
        clock: Clock,
        measures: Measures,
        settings: BreakerSettings = DEFAULT_BREAKER,
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._measures = measures
        self._settings = settings
        self._recent: deque[tuple[float, bool]] = deque(maxlen=settings.calls)
        self._probe_at: float | None = None
        self._probing = False
        self.name = provider.name
        measures.set_circuit(self.name, opened=False)

    def require_closed(self) -> None:
        """Raise CircuitOpened if a call made now would not be sent; takes nothing."""
        if self._probe_at is not None and (self._probing or self._clock.monotonic() < self._probe_at):
            raise CircuitOpened(self.name)

    async def perform(self, call: Call) -> Answer:
        """Perform, or raise CircuitOpened at once."""
        self.require_closed()
        probing = self._probing = self._probe_at is not None
        healthy = False
        try:
            answer = await self._provider.perform(call)
            healthy = True
        except ProviderError:
            raise
        except BaseException:
            # Cancelled or broken on our side: says nothing about the provider.
            healthy = not probing
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
            self._set(None if healthy else now + self._settings.open_seconds)
            return
        if self._probe_at is not None:
            # A straggler from before the circuit opened.
            return
        self._recent.append((now, healthy))
        if healthy:
            # One more of these opens nothing.
            return
        failures = sum(not good for at, good in self._recent if now - at <= self._settings.window_seconds)
        if failures >= self._settings.calls * self._settings.failures_share:
            self._set(now + self._settings.open_seconds)

    def _set(self, probe_at: float | None) -> None:
        self._probe_at = probe_at
        self._measures.set_circuit(self.name, opened=probe_at is not None)
