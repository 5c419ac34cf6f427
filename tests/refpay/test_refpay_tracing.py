"""Each attempt at a provider is a span that says how it ended, and whose fault that was."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web

import refpay
from moneypath.telemetry import Catalogue, correlation, setup
from moneypath.telemetry.tracing import NOOP_TRACER, Tracer
from moneypath.telemetry.tracing.redacted_span import RedactedSpan
from refpay.clock import SystemClock
from refpay.errors import StartRefused
from refpay.measures import API_METRICS, ServiceMetrics, make_recorder
from refpay.money import Currency, Money
from refpay.providers.errors import ProviderError
from refpay.providers.north import NorthAdapter
from refpay.providers.port import Call, CallKind
from refpay.providers.recording import RecordedProvider
from refpay.providers.timeout import TimedProvider
from refpay.settings import ProviderSettings, read_settings

CALL = Call(
    kind=CallKind.AUTHORIZE,
    key=UUID("0192f0c1-7d3e-7bbb-8000-000000000000"),
    deadline=datetime.now(UTC) + timedelta(hours=1),
    money=Money(500, Currency.EUR),
    card_token="tok_411111_5ec2e7",
    attempt=2,
)


class KeepingSink:
    """Keeps spans."""

    def __init__(self) -> None:
        self.spans: list[RedactedSpan] = []

    def open(self) -> None:
        """Need nothing."""

    def export(self, spans: Sequence[RedactedSpan]) -> bool:
        """Keep them."""
        self.spans += spans
        return True

    def close(self) -> None:
        """Hold nothing."""


@asynccontextmanager
async def provider(status: int | None, body: object = None) -> AsyncIterator[tuple[str, list[Any]]]:
    """Serve a provider that answers this, or never; yields its address and what it was sent."""
    heard: list[Any] = []
    ended = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        heard.append({name.lower(): value for name, value in request.headers.items()})
        if status is None:
            await ended.wait()
        return web.json_response(body, status=status or 200)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", heard
    finally:
        ended.set()
        await runner.cleanup()


async def attempt(url: str, *, ratio: float = 0, seconds: float = 30) -> list[RedactedSpan]:
    """Make one attempt and return its spans."""
    sink = KeepingSink()
    tracer = Tracer(sink, ratio=ratio)
    catalogue = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
    measures = ServiceMetrics(setup(catalogue, service="refpay-api", metrics=API_METRICS, tracer=tracer))
    async with aiohttp.ClientSession() as session:
        adapter = NorthAdapter(session, ProviderSettings("north", url, "hunter2"))
        recorded = RecordedProvider(
            TimedProvider(adapter, seconds=seconds), measures=measures, clock=SystemClock()
        )
        with suppress(ProviderError):
            await recorded.perform(CALL)
    assert tracer.close()
    return sink.spans


@pytest.mark.parametrize(
    ("status", "body", "outcome", "fault"),
    [
        (503, {}, "failed", "theirs"),
        (422, {}, "failed", "theirs"),
        (401, {}, "failed", "ours"),
        (500, {}, "indeterminate", "theirs"),
        (200, {"status": "nonsense"}, "indeterminate", "theirs"),
        (None, {}, "indeterminate", "in_flight"),
    ],
)
async def test_an_attempt_that_ends_ill_is_kept_and_judged(
    status: int | None, body: object, outcome: str, fault: str
) -> None:
    """Refused or answered ill: theirs; our credential: ours; no answer in time: in flight."""
    async with provider(status, body) as (url, _):
        (span,) = await attempt(url, seconds=0.3 if status is None else 30)
    assert span.name == "provider authorize"
    assert span.attributes["moneypath.outcome"] == outcome
    assert span.attributes["moneypath.fault_domain"] == fault
    assert span.attributes["moneypath.attempt"] == 2
    assert span.attributes["moneypath.provider"] == "north"
    assert span.attributes.get("http.response.status_code") == status
    assert "hunter2" not in repr(span)


async def test_a_provider_that_cannot_be_reached_is_their_fault() -> None:
    """A refused connection moved nothing."""
    with socket.socket() as held:
        # Bound and not listening: nobody else can be given the port meanwhile.
        held.bind(("127.0.0.1", 0))
        (span,) = await attempt(f"http://127.0.0.1:{held.getsockname()[1]}")
    assert (span.attributes["moneypath.outcome"], span.attributes["moneypath.fault_domain"]) == (
        "failed",
        "theirs",
    )


async def test_a_good_answer_is_a_span_only_if_sampled() -> None:
    """And the provider is told which span it serves."""
    good = {"status": "approved", "id": "auth-1"}
    async with provider(200, good) as (url, heard):
        with correlation.bound("0000-request"):
            assert await attempt(url) == []
            (span,) = await attempt(url, ratio=1.0)
    assert span.attributes["moneypath.outcome"] == "succeeded"
    assert "moneypath.fault_domain" not in span.attributes
    assert heard[1]["traceparent"] == span.trace.header
    assert heard[1]["x-correlation-id"] == "0000-request"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return a complete environment."""
    for name in ("refpay_app_password", "north_api_key", "south_api_key"):
        (tmp_path / name).write_text("secret\n")
    return {
        "REFPAY_DATABASE_URL": "postgresql://refpay_app@127.0.0.1:5432/refpay",
        "REFPAY_SECRETS_FOLDER": str(tmp_path),
        "REFPAY_ACKNOWLEDGEMENTS_FOLDER": str(tmp_path),
        "REFPAY_NORTH_URL": "http://127.0.0.1:1",
        "REFPAY_SOUTH_URL": "http://127.0.0.1:2",
    }


def test_tracing_is_off_unless_a_collector_is_named(environment: dict[str, str]) -> None:
    """And then it exports there; nothing else of the environment is needed."""
    settings = read_settings(environment)
    assert make_recorder(settings, service="refpay-api", metrics=API_METRICS).tracer is NOOP_TRACER
    named = read_settings({**environment, "REFPAY_OTLP_URL": "http://127.0.0.1:9/"})
    tracer = make_recorder(named, service="refpay-api", metrics=API_METRICS).tracer
    assert tracer is not NOOP_TRACER
    assert tracer.close()
    with pytest.raises(StartRefused, match="REFPAY_OTLP_URL"):
        read_settings({**environment, "REFPAY_OTLP_URL": "nowhere"})


def test_tracing_without_opentelemetry_keeps_the_service_from_starting(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one sentence; without tracing the same service starts."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    settings = read_settings(environment)
    make_recorder(settings, service="refpay-api", metrics=API_METRICS)
    with pytest.raises(StartRefused, match=r"moneypath\[otel\]"):
        make_recorder(
            replace(settings, otlp_url="http://127.0.0.1:9"), service="refpay-api", metrics=API_METRICS
        )
