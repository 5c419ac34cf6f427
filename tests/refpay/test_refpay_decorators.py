"""Each decorator of the provider port by itself, with a scripted provider and a clock that the test sets."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

import refpay
from moneypath.telemetry import Catalogue, setup
from refpay.measures import API_METRICS, ServiceMetrics
from refpay.money import Currency, Money
from refpay.providers.breaker import CircuitBreakerProvider
from refpay.providers.errors import CircuitOpened, ProviderOutcomeUnknown, ProviderRefused
from refpay.providers.port import Answer, Call, CallKind, ProviderResult
from refpay.providers.recording import RecordedProvider
from refpay.providers.retry import RetryingProvider
from refpay.providers.timeout import TimedProvider

DONE = Answer(ProviderResult.DONE, provider_reference="ref-1")
DECLINED = Answer(ProviderResult.DECLINED)
REFUSED = ProviderRefused("503")
REFUSED_FOR_GOOD = ProviderRefused("401", may_resend=False)
SILENT = ProviderOutcomeUnknown("nothing")
Step = Answer | Exception
SEEDED = random.Random(1)  # noqa: S311 - jitter needs no secrecy


@dataclass
class Clock:
    """A clock that the test sets."""

    seconds: float = 0.0

    def now(self) -> datetime:
        """Return the instant."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """Return the seconds."""
        return self.seconds


@dataclass
class Scripted:
    """Answers as the script says, and remembers the keys it saw."""

    script: list[Step]
    name: str = "north"
    keys: list[object] = field(default_factory=list)

    async def perform(self, call: Call) -> Answer:
        """Take the next step."""
        self.keys.append(call.key)
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


def make_measures() -> ServiceMetrics:
    """Return measures on the service's own catalogue."""
    catalogue = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
    return ServiceMetrics(setup(catalogue, service="refpay-api", metrics=API_METRICS))


def make_call(seconds: float = 10, kind: CallKind = CallKind.AUTHORIZE) -> Call:
    """Return a call that may be sent for some seconds."""
    money = Money(5, Currency.EUR)
    return Call(
        kind=kind, key=uuid4(), deadline=Clock(seconds).now(), money=money, card_token="tok_411111_5ec2e7"
    )


async def retry(
    script: Sequence[Step], attempts: int = 3
) -> tuple[Answer | Exception, list[float], Scripted]:
    """Run a call with retries; return its end, the pauses and the provider."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    provider = Scripted(list(script))
    retried = RetryingProvider(provider, attempts=attempts, clock=Clock(), random_source=SEEDED, sleep=sleep)
    try:
        return await retried.perform(make_call()), pauses, provider
    except (ProviderRefused, ProviderOutcomeUnknown) as problem:
        return problem, pauses, provider


@pytest.mark.parametrize(
    ("script", "end", "calls"),
    [
        ([DONE], DONE, 1),
        ([REFUSED, DONE], DONE, 2),
        ([SILENT, DONE], DONE, 2),
        ([SILENT, DECLINED], DECLINED, 2),
        ([REFUSED, REFUSED, REFUSED], REFUSED, 3),
        ([REFUSED_FOR_GOOD], REFUSED_FOR_GOOD, 1),
        ([SILENT, SILENT, SILENT], SILENT, 3),
        # What was refused after a silence proves nothing about the silence.
        ([SILENT, REFUSED, REFUSED], SILENT, 3),
        ([REFUSED, SILENT, REFUSED], SILENT, 3),
        ([SILENT, REFUSED_FOR_GOOD], SILENT, 2),
    ],
)
async def test_retry_ends_with_what_is_known(script: list[Step], end: Step, calls: int) -> None:
    """A definitive answer wins, then an unknown outcome, then a refusal; always under the same key."""
    ended, pauses, provider = await retry(script)
    assert ended is end
    assert len(provider.keys) == calls
    assert len(set(provider.keys)) == 1
    assert len(pauses) == calls - 1
    assert all(0 <= pause <= 0.1 for pause in pauses)


async def test_retry_sends_nothing_after_the_deadline() -> None:
    """A process that slept through its deadline has not sent, or does not send again."""
    clock = Clock(10)
    provider = Scripted([DONE])
    retried = RetryingProvider(provider, attempts=3, clock=clock, random_source=SEEDED)
    with pytest.raises(ProviderRefused, match="time to call"):
        await retried.perform(make_call(10))
    assert provider.keys == []

    async def oversleep(_seconds: float) -> None:
        clock.seconds = 10

    clock.seconds = 0
    provider = Scripted([SILENT, DONE])
    retried = RetryingProvider(provider, attempts=3, clock=clock, random_source=SEEDED, sleep=oversleep)
    with pytest.raises(ProviderOutcomeUnknown):
        await retried.perform(make_call(10))
    assert len(provider.keys) == 1


async def test_a_time_out_is_silence() -> None:
    """The attempt is cancelled and its outcome is unknown."""

    class Hanging:
        name = "north"

        async def perform(self, call: Call) -> Answer:
            await asyncio.Event().wait()
            raise AssertionError(call)

    with pytest.raises(ProviderOutcomeUnknown, match="no answer from north"):
        await TimedProvider(Hanging(), seconds=0.01).perform(make_call())


async def test_every_attempt_is_recorded() -> None:
    """By provider, operation and outcome."""
    measures = make_measures()
    recorded = RecordedProvider(Scripted([DONE, DECLINED, REFUSED, SILENT]), measures=measures, clock=Clock())
    for _ in range(4):
        try:
            await recorded.perform(make_call())
        except (ProviderRefused, ProviderOutcomeUnknown):
            continue
    text = measures.recorder.render().decode()
    for outcome in ("succeeded", "declined", "failed", "indeterminate"):
        labels = f'provider="north",operation="authorize",outcome="{outcome}"'
        assert f"moneypath_provider_attempts_total{{{labels}}} 1" in text
        assert f"moneypath_provider_request_duration_seconds_count{{{labels}}} 1" in text
    assert 'moneypath_telemetry_drops_total{reason="unknown_value"} 0' in text


async def test_the_breaker_opens_probes_and_closes() -> None:
    """Nine tenths of the last calls failing open it; one probe at a time; one success closes it."""
    clock, measures = Clock(), make_measures()
    provider = Scripted([SILENT] * 9)
    breaker = CircuitBreakerProvider(provider, clock=clock, measures=measures, calls=10)
    for _ in range(9):
        with pytest.raises(ProviderOutcomeUnknown):
            await breaker.perform(make_call())
    with pytest.raises(CircuitOpened):
        await breaker.perform(make_call())
    assert len(provider.keys) == 9
    assert 'moneypath_provider_circuit_open{provider="north"} 1' in measures.recorder.render().decode()
    provider.script = [SILENT, DONE, DONE]
    clock.seconds = 1
    with pytest.raises(ProviderOutcomeUnknown):
        await breaker.perform(make_call())
    with pytest.raises(CircuitOpened):
        breaker.require_closed()
    clock.seconds = 2
    breaker.require_closed()
    assert await breaker.perform(make_call()) is DONE
    assert await breaker.perform(make_call()) is DONE
    assert 'moneypath_provider_circuit_open{provider="north"} 0' in measures.recorder.render().decode()


async def test_the_breaker_lets_a_partial_outage_pass() -> None:
    """When half of the calls fail, nothing is refused: that is for people to decide."""
    script: list[Step] = [SILENT, DONE] * 50
    provider = Scripted(list(script))
    breaker = CircuitBreakerProvider(provider, clock=Clock(), measures=make_measures())
    for step in script:
        if isinstance(step, Exception):
            with pytest.raises(ProviderOutcomeUnknown):
                await breaker.perform(make_call())
        else:
            assert await breaker.perform(make_call()) is DONE
    assert len(provider.keys) == 100


async def test_the_breaker_probes_one_call_at_a_time() -> None:
    """While the probe is out, everyone else fails fast."""
    clock = Clock()
    answered = asyncio.Event()

    class Slow:
        name = "north"
        failing = True

        async def perform(self, call: Call) -> Answer:
            if self.failing:
                raise SILENT
            await answered.wait()
            return DONE

    slow = Slow()
    breaker = CircuitBreakerProvider(slow, clock=clock, measures=make_measures(), calls=1)
    with pytest.raises(ProviderOutcomeUnknown):
        await breaker.perform(make_call())
    slow.failing = False
    clock.seconds = 1
    probe = asyncio.create_task(breaker.perform(make_call()))
    await asyncio.sleep(0)
    with pytest.raises(CircuitOpened):
        await breaker.perform(make_call())
    answered.set()
    assert await probe is DONE
    breaker.require_closed()


def test_a_call_keeps_its_token_to_itself() -> None:
    """Neither its repr nor an error shows it."""
    assert "5ec2e7" not in repr(make_call())
