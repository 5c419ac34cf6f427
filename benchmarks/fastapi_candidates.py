"""One FastAPI service, bare and under each instrumentation that is compared."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

OFF = {"tracing": False, "metrics": False, "logs": False}
SAMPLED_RATIO = 0.1
LOADED_PROVIDERS = 14


class Order(BaseModel):
    """What is to be paid."""

    reference: str = Field(min_length=1, max_length=64)
    amount: int = Field(gt=0, le=10_000_000)
    currency: Literal["EUR", "USD"]
    card_token: str = Field(min_length=8, max_length=64)


class Payment(BaseModel):
    """What became of it."""

    id: str
    status: Literal["approved", "declined"]
    amount: int
    currency: str


def service(**options: Any) -> FastAPI:
    """Return the service: an authorization, validated both ways, and the least that a request can be."""
    app = FastAPI(**options)

    @app.post("/v1/payments", status_code=201)
    async def authorize(order: Order) -> Payment:
        return Payment(
            id=f"p-{order.reference}", status="approved", amount=order.amount, currency=order.currency
        )

    @app.get("/v1/payments/{payment_id}")
    async def payment(payment_id: str) -> dict[str, str | int]:
        return {"id": payment_id, "status": "approved", "amount": 4200, "currency": "EUR"}

    return app


def bare() -> FastAPI:
    """Measure nothing."""
    return service(telemetry=OFF)


def moneypath() -> FastAPI:
    """Ours: metrics, ids and 10 % spans, which a thread judges, redacts and gives to a sink."""
    from moneypath.telemetry import setup
    from moneypath.telemetry.integrations.fastapi import instrument
    from moneypath.telemetry.tracing import Tracer

    app = service(telemetry=OFF)
    tracer = Tracer(_Nowhere(), ratio=SAMPLED_RATIO)
    instrument(app, setup(service="checkout", providers=["north"], currencies=["EUR"], tracer=tracer))
    return app


def moneypath_without_spans() -> FastAPI:
    """Ours: metrics and ids."""
    from moneypath.telemetry import setup
    from moneypath.telemetry.integrations.fastapi import instrument

    app = service(telemetry=OFF)
    instrument(app, setup(service="checkout", providers=["north"], currencies=["EUR"]))
    return app


def with_many_series() -> FastAPI:
    """Ours, with so many providers that a scrape has 10,000 lines."""
    from moneypath.telemetry import setup
    from moneypath.telemetry.integrations.fastapi import instrument

    app = service(telemetry=OFF)
    providers = [f"provider-{number}" for number in range(LOADED_PROVIDERS)]
    recorder = setup(service="checkout", providers=providers, currencies=["EUR", "USD"])
    instrument(app, recorder)
    duration = recorder.histogram("moneypath_provider_request_duration_seconds")
    for provider in providers:
        for operation in ("authorize", "capture", "refund", "query"):
            for outcome in ("succeeded", "declined", "failed", "indeterminate"):
                duration.observe(0.05, provider=provider, operation=operation, outcome=outcome)
    return app


def prometheus_fastapi_instrumentator() -> FastAPI:
    """Metrics alone, by the library of that name, as its README switches it on."""
    from prometheus_fastapi_instrumentator import Instrumentator

    app = service(telemetry=OFF)
    Instrumentator().instrument(app).expose(app)
    return app


def opentelemetry_instrumentation() -> FastAPI:
    """Metrics and 10 % spans, by opentelemetry-instrumentation-fastapi."""
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    app = service(telemetry=OFF)
    tracer_provider, meter_provider = _providers()
    FastAPIInstrumentor.instrument_app(app, tracer_provider=tracer_provider, meter_provider=meter_provider)
    return app


def fastapi_own_telemetry() -> FastAPI:
    """Metrics and 10 % spans, by FastAPI itself."""
    tracer_provider, meter_provider = _providers()
    return service(
        telemetry={"tracer_provider": tracer_provider, "meter_provider": meter_provider, "logs": False}
    )


CANDIDATES: dict[str, Callable[[], FastAPI]] = {
    "bare": bare,
    "moneypath": moneypath,
    "moneypath-without-spans": moneypath_without_spans,
    "prometheus-fastapi-instrumentator": prometheus_fastapi_instrumentator,
    "fastapi-own-telemetry": fastapi_own_telemetry,
    "opentelemetry-instrumentation-fastapi": opentelemetry_instrumentation,
}


class _Nowhere:
    """A sink that takes spans and drops them."""

    def open(self) -> None:
        """Need nothing."""

    def export(self, spans: Sequence[object]) -> bool:  # noqa: ARG002 - the sink's signature
        """Drop them."""
        return True

    def close(self) -> None:
        """Hold nothing."""


def _providers() -> "tuple[TracerProvider, MeterProvider]":
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    class Nowhere(SpanExporter):
        def export(self, spans: Sequence[object]) -> SpanExportResult:  # noqa: ARG002
            return SpanExportResult.SUCCESS

    tracer_provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(SAMPLED_RATIO)))
    tracer_provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    return tracer_provider, MeterProvider([InMemoryMetricReader()])
