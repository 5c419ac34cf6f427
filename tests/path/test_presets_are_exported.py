"""What the presets say is what the two libraries export, asked of real applications."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_fastapi_instrumentator import Instrumentator

from moneypath.path.presets import PRESETS, Preset
from moneypath.telemetry.catalogue import MetricKind

REQUESTS = (("POST", "/top-ups/3"), ("GET", "/refused"), ("GET", "/broken"), ("GET", "/nowhere"))
# How Prometheus spells the units of OpenTelemetry at the end of a name.
UNITS = {"s": "seconds"}


def shop() -> FastAPI:
    """Return an application with a route that answers, one that refuses and one that breaks."""
    app = FastAPI()

    @app.post("/top-ups/{top_up}")
    async def top_up(top_up: str) -> dict[str, str]:
        return {"top_up": top_up}

    @app.get("/refused")
    async def refused() -> None:
        raise HTTPException(503)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    return app


async def visit(app: FastAPI) -> None:
    """Ask every route, and one that there is not."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop", trust_env=False) as client:
        for method, address in REQUESTS:
            await client.request(method, address)


@pytest.fixture
async def exported() -> dict[str, Any]:
    """Return what the instrumentator exports by default, by the name of each family."""
    registry, app = CollectorRegistry(), shop()
    Instrumentator(registry=registry).instrument(app)
    await visit(app)
    text = generate_latest(registry).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


@pytest.mark.parametrize("name", PRESETS[Preset.FASTAPI_INSTRUMENTATOR])
async def test_the_instrumentator_exports_its_preset(name: str, exported: dict[str, Any]) -> None:
    """Kind, labels, edges; and each label value is one of the list, statuses in groups."""
    known = PRESETS[Preset.FASTAPI_INSTRUMENTATOR][name]
    family = exported[name.removesuffix("_total")]
    assert family.type == known.kind
    samples = [each for each in family.samples if not each.name.endswith("_created")]
    assert {label for each in samples for label in each.labels} - {"le"} == set(known.labels)
    edges = {float(each.labels["le"]) for each in samples if "le" in each.labels} - {float("inf")}
    assert tuple(sorted(edges)) == known.buckets
    require_values(known.labels, [each.labels for each in samples])


async def test_the_instrumentator_has_no_other_counter_or_histogram(exported: dict[str, Any]) -> None:
    """A new one would be missing here."""
    kinds = {family.name for family in exported.values() if family.type in {"counter", "histogram"}}
    assert kinds == {name.removesuffix("_total") for name in PRESETS[Preset.FASTAPI_INSTRUMENTATOR]}


# Its settings are read once in a process, so it is a service in its own.
OPENTELEMETRY = """
import asyncio, json
import httpx
from fastapi import FastAPI, HTTPException
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

app = FastAPI()

@app.post("/top-ups/{top_up}")
async def top_up(top_up: str): return {}

@app.get("/refused")
async def refused(): raise HTTPException(503)

@app.get("/broken")
async def broken(): raise RuntimeError

reader = InMemoryMetricReader()
FastAPIInstrumentor.instrument_app(app, meter_provider=MeterProvider([reader]))

async def visit():
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop", trust_env=False) as client:
        for method, address in REQUESTS:
            await client.request(method, address)

asyncio.run(visit())
found = [m for r in reader.get_metrics_data().resource_metrics for s in r.scope_metrics for m in s.metrics]
print(json.dumps([
    {
        "name": m.name,
        "unit": m.unit,
        "points": [
            {"labels": {k: str(v) for k, v in p.attributes.items()}, "edges": list(p.explicit_bounds)}
            for p in m.data.data_points
        ],
    }
    for m in found if m.name == "http.server.request.duration"
]))
"""


def test_opentelemetry_exports_its_preset() -> None:
    """Name and labels as Prometheus spells them, edges in seconds; an unknown route has no label."""
    service = f"REQUESTS = {REQUESTS!r}\n{OPENTELEMETRY}"
    ran = subprocess.run(
        [sys.executable, "-c", service],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OTEL_SEMCONV_STABILITY_OPT_IN": "http"},
    )
    assert ran.returncode == 0, ran.stderr
    (metric,) = json.loads(ran.stdout)
    name = f"{spelt(metric['name'])}_{UNITS[metric['unit']]}"
    known = PRESETS[Preset.OPENTELEMETRY][name]
    assert known.kind is MetricKind.HISTOGRAM
    labels = [{spelt(key): value for key, value in point["labels"].items()} for point in metric["points"]]
    assert {label for each in labels for label in each} == set(known.labels)
    assert {tuple(point["edges"]) for point in metric["points"]} == {known.buckets}
    require_values(known.labels, labels)
    assert any("http_route" not in each for each in labels)
    assert {each.get("error_type") for each in labels} == {None, "500", "503"}


def spelt(name: str) -> str:
    """Return a name of OpenTelemetry as Prometheus spells it."""
    return name.replace(".", "_")


def require_values(known: Mapping[str, tuple[str, ...] | None], seen: list[dict[str, str]]) -> None:
    """Hold every value that was seen against the list of its label, if there is one."""
    for labels in seen:
        for label, value in labels.items():
            allowed = known.get(label)
            assert allowed is None or value in allowed, label
