"""Together with OpenTelemetry each counts a request once, and our spans do not get into theirs.

Providers are global to a process, so each case is a service in its own process, with the real packages.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMON = """
import asyncio, json, sys
from collections import Counter
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

reader, exporter = InMemoryMetricReader(), InMemorySpanExporter()
tracing = TracerProvider()
tracing.add_span_processor(SimpleSpanProcessor(exporter))
"""

GLOBAL_PROVIDERS = """
metrics.set_meter_provider(MeterProvider([reader]))
trace.set_tracer_provider(tracing)
"""

SERVICE = """
import fastapi, httpx
from moneypath.telemetry import setup
from moneypath.telemetry.integrations.fastapi import instrument

recorder = setup(service="checkout", providers=["north"], currencies=["EUR"])
app = fastapi.FastAPI(**OPTIONS)
def add_route():
    @app.get("/payments/{number}")
    async def payment(number: int) -> int:
        return number
    @app.get("/broken")
    async def broken() -> int:
        raise ZeroDivisionError
"""

ASK = """
async def ask():
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        for _ in range(3):
            answer = await client.get("/payments/7", headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
            assert answer.status_code == 200 and answer.headers["x-correlation-id"]
        await client.get("/broken")
asyncio.run(ask())

ours = {}
for line in recorder.render().decode().splitlines():
    if line.startswith("http_server_request_duration_seconds_count"):
        labels, _, count = line.rpartition(" ")
        ours[labels.split('http_route="')[1].split('"')[0]] = float(count)
theirs = Counter()
data = reader.get_metrics_data()
for resource in data.resource_metrics if data else []:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            if metric.name in ("http.server.request.duration", "http.server.duration"):
                theirs[scope.scope.name] += sum(point.count for point in metric.data.data_points)
spans = exporter.get_finished_spans()
server = [span.name for span in spans if span.kind is trace.SpanKind.SERVER]
scopes = sorted({span.instrumentation_scope.name for span in spans})
print(json.dumps({"ours": ours, "theirs": theirs, "server": len(server), "scopes": scopes}))
"""

OURS = {"/payments/{number}": 3.0, "/broken": 1.0}
CONTRIB = "opentelemetry.instrumentation.fastapi"


def run(*parts: str, options: str = "{}", interpreter: tuple[str, ...] = (sys.executable,)) -> object:
    """Run a service and return the counts of both."""
    script = "\n".join([COMMON, f"OPTIONS = {options}", *parts, ASK])
    done = subprocess.run(
        [*interpreter, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_without_any_provider_ours_is_alone() -> None:
    """FastAPI's own telemetry is off."""
    assert run(SERVICE, "add_route(); instrument(app, recorder)") == {
        "ours": OURS,
        "theirs": {},
        "server": 0,
        "scopes": [],
    }


def test_with_fastapis_own_telemetry_each_counts_once() -> None:
    """A global provider enables it; our middleware is inside, and neither counts for the other."""
    told = run(GLOBAL_PROVIDERS, SERVICE, "add_route(); instrument(app, recorder)")
    assert told == {"ours": OURS, "theirs": {"fastapi": 4}, "server": 4, "scopes": ["fastapi"]}


def test_fastapis_own_telemetry_can_be_switched_off() -> None:
    """With the option that the guide names, only ours is left."""
    off = '{"telemetry": {"tracing": False, "metrics": False, "logs": False}}'
    told = run(GLOBAL_PROVIDERS, SERVICE, "add_route(); instrument(app, recorder)", options=off)
    assert told == {"ours": OURS, "theirs": {}, "server": 0, "scopes": []}


@pytest.mark.parametrize("order", ["ours first", "theirs first"])
def test_with_opentelemetry_instrumentation_each_counts_once(order: str) -> None:
    """In either order; FastAPI's own telemetry disables itself."""
    calls = [
        "instrument(app, recorder)",
        "FastAPIInstrumentor.instrument_app(app, exclude_spans=['send', 'receive'])",
    ]
    told = run(
        GLOBAL_PROVIDERS,
        SERVICE,
        "from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor",
        "add_route()",
        *(calls if order == "ours first" else reversed(calls)),
    )
    assert told == {"ours": OURS, "theirs": {CONTRIB: 4}, "server": 4, "scopes": [CONTRIB]}


def test_under_opentelemetry_instrument_each_counts_once() -> None:
    """The command replaces FastAPI's class before the service imports it."""
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    told = run(
        GLOBAL_PROVIDERS,
        SERVICE,
        "add_route(); instrument(app, recorder)",
        interpreter=(str(command), sys.executable),
    )
    assert told == {"ours": OURS, "theirs": {CONTRIB: 4}, "server": 4, "scopes": [CONTRIB]}
