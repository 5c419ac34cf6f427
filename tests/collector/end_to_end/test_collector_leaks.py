"""Card numbers and credentials go into the real collector and never come out."""

import re
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

CARDS = ("4111111111111111", "4111-1111-1111-1111", "4111 1111 1111 1111", "4111.1111.1111.1111")
# What must not come out, in whatever form: the digits, and the words of the other secrets.
SECRETS = {
    "bearer": "Bearer s3cr3tbearer.token",
    "track": "%B4111111111111111^S3CR3T/HOLDER^25121010000000000000?",
    "iban": "DE89 3704 0044 0532 0130 00",
    "cvv": "cvv=987",
    "password": "password=s3cr3tword",
}
POINTS = "otelcol_exporter_sent_metric_points"
FORBIDDEN = re.compile(r"s3cr3t|3704.?0044|\b987\b", re.IGNORECASE)
HARMLESS = {
    "order": "9911111111111111",
    "uuid": "0b7a8f2e-4123-4567-8123-123456789012",
    "took": "0.4222222222222222",
    "moneypath.outcome": "indeterminate",
    "moneypath.authorization.result": "approved",
}


def leaks(text: str) -> list[str]:
    """Return the secrets that a text contains, the card with anything between its digits."""
    cards = re.findall(r"4(?:[^0-9]{0,3}1){15}", text)
    return cards + FORBIDDEN.findall(text)


def text_value(text: str) -> AnyValue:
    """Return a string."""
    return AnyValue(string_value=text)


def inner(card: str) -> KeyValueList:
    """Return a nested map: the card as value and as name, and secrets recognised by name only."""
    fields = {"deep": card, card: "x", "authorization": "opaque-s3cr3t", "cvv": "987"}
    pairs = [KeyValue(key=key, value=text_value(value)) for key, value in fields.items()]
    return KeyValueList(values=pairs)


def attributes(card: str) -> Iterator[KeyValue]:
    """Yield the card and all secrets as strings, numbers, lists, maps and field names."""
    yield KeyValue(key="note", value=text_value(f"paid with {card} today"))
    yield KeyValue(key="http.request.header.authorization", value=text_value("opaque-s3cr3t"))
    yield KeyValue(key="list", value=AnyValue(array_value=ArrayValue(values=[text_value(card)])))
    yield KeyValue(key="map", value=AnyValue(kvlist_value=inner(card)))
    yield KeyValue(key="number", value=AnyValue(int_value=4111111111111111))
    yield KeyValue(key=f"seen {card}", value=text_value("x"))
    for name, secret in SECRETS.items():
        yield KeyValue(key=f"kind.{name}", value=text_value(secret))
    for name, value in HARMLESS.items():
        yield KeyValue(key=name, value=text_value(value))


def traces(make: Any) -> ExportTraceServiceRequest:
    """Return error spans with a card in every text field."""
    request = ExportTraceServiceRequest()
    for card in CARDS:
        resource = request.resource_spans.add()
        resource.resource.attributes.extend(attributes(card))
        scope = resource.scope_spans.add()
        scope.scope.name = f"scope {card}"
        scope.scope.version = card
        scope.scope.attributes.extend(attributes(card))
        span = make.one(f"charge {card}", error=True)
        span.status.message = f"declined: {card}"
        span.trace_state = f"shop={card}"
        span.attributes.extend(attributes(card))
        event = span.events.add()
        event.name = f"retry {card}"
        event.attributes.extend(attributes(card))
        scope.spans.extend([span, make.one("provider authorize", error=True)])
    return request


def logs() -> ExportLogsServiceRequest:
    """Return log records with a card in every kind of body and every text field."""
    request = ExportLogsServiceRequest()
    for card in CARDS:
        resource = request.resource_logs.add()
        resource.resource.attributes.extend(attributes(card))
        scope = resource.scope_logs.add()
        scope.scope.name = f"scope {card}"
        bodies = [
            text_value(f'{{"event": "charged", "card": "{card}"}}'),
            AnyValue(int_value=4111111111111111),
            AnyValue(array_value=ArrayValue(values=[text_value(card)])),
            AnyValue(array_value=ArrayValue(values=[AnyValue(kvlist_value=inner(card))])),
            AnyValue(kvlist_value=KeyValueList(values=list(attributes(card)))),
            *map(text_value, SECRETS.values()),
            text_value("nothing to hide"),
        ]
        for body in bodies:
            record = scope.log_records.add(body=body, severity_text=f"INFO {card}")
            record.event_name = f"charge {card}"
            record.attributes.extend(attributes(card))
    return request


def metrics() -> ExportMetricsServiceRequest:
    """Return a counter, a gauge and a histogram with a card in attributes, names, help and exemplars."""
    request = ExportMetricsServiceRequest()
    for number, card in enumerate(CARDS):
        resource = request.resource_metrics.add()
        resource.resource.attributes.extend(attributes(card))
        resource.resource.attributes.append(KeyValue(key="service.name", value=text_value(f"shop-{number}")))
        scope = resource.scope_metrics.add()
        scope.scope.name = f"scope {card}"
        named = scope.metrics.add(name="baskets", description=f"Baskets of {card}.", unit=card)
        named.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        named.sum.is_monotonic = True
        point = named.sum.data_points.add(as_int=7, time_unix_nano=1)
        point.attributes.extend(attributes(card))
        exemplar = point.exemplars.add(as_int=1, time_unix_nano=1)
        exemplar.filtered_attributes.extend(attributes(card))
        gauge = scope.metrics.add(name=f"level_{card}").gauge.data_points.add(as_int=8, time_unix_nano=1)
        gauge.attributes.extend(attributes(card))
        latency = scope.metrics.add(name="latency", unit="s").histogram
        latency.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        histogram = latency.data_points.add(
            count=1, sum=0.5, bucket_counts=[1, 0], explicit_bounds=[1.0], time_unix_nano=1
        )
        histogram.attributes.extend(attributes(card))
    return request


async def send_all(running: Any, make: Any, backend: Any) -> None:
    """Send everything and wait until it has come through."""
    await running.send("traces", traces(make))
    await running.send("logs", logs())
    await running.send("metrics", metrics())
    spans, records = 2 * len(CARDS), len(CARDS) * (6 + len(SECRETS))
    await backend.until(lambda: len(backend.spans()) >= spans and len(records_of(backend)) >= records)
    await running.until_own(POINTS, lambda points: points >= 3 * len(CARDS))


def records_of(backend: Any) -> list[Any]:
    """Return every log record received."""
    return [
        record
        for request in list(backend.logs)
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def as_text(requests: list[Any]) -> str:
    """Return requests as text and as raw bytes, so that no field is overlooked."""
    return "\n".join(f"{request}{request.SerializeToString().decode('latin-1')}" for request in requests)


async def test_no_card_number_and_no_secret_comes_out(run: Any, backend: Any, make: Any) -> None:
    """Plain, dashed, spaced or dotted; in every field of traces, logs and metrics; on every output."""
    async with run() as running:
        await send_all(running, make, backend)
        page = await running.page(running.collector.prometheus_url)
        own = await running.page(running.collector.own_metrics_url)
    outcome = {
        "traces": leaks(as_text(backend.traces)),
        "logs": leaks(as_text(backend.logs)),
        "Prometheus": leaks(page),
        "own metrics": leaks(own),
        "own log": leaks(running.log()),
    }
    assert outcome == {way: [] for way in outcome}
    _everything_else_came(backend, page)


def _everything_else_came(backend: Any, page: str) -> None:
    """Harmless text is unchanged, and the attributes made for redaction are gone."""
    everything = as_text([*backend.traces, *backend.logs])
    assert "moneypath.gathered" not in everything
    assert "gathered" not in page
    for value in HARMLESS.values():
        assert everything.count(value) >= 2 * len(CARDS), value
        assert value in page
    names = {span.name for span in backend.spans()}
    assert "provider authorize" in names
    assert any(name.startswith("charge") and "****" in name for name in names)
    messages = {span.status.message for span in backend.spans()}
    assert any(message.startswith("declined:") and "****" in message for message in messages)
    assert {event.name[:5] for span in backend.spans() for event in span.events} == {"retry"}
    assert {record.severity_text[:4] for record in records_of(backend)} == {"INFO"}
    assert any(record.body.string_value == "nothing to hide" for record in records_of(backend))
    assert len(re.findall(r"^baskets\S*_total\{", page, re.MULTILINE)) == len(CARDS)


async def test_without_the_redaction_they_would(run: Any, backend: Any, make: Any) -> None:
    """The negative twin: without redaction the same data leaks on each of the three outputs."""
    plain = {"processors": ["memory_limiter", "batch"]}
    pipelines = {signal: dict(plain) for signal in ("traces", "logs", "metrics")}
    async with run({"service": {"pipelines": pipelines}}) as running:
        await send_all(running, make, backend)
        page = await running.page(running.collector.prometheus_url)
    assert leaks(as_text(backend.traces))
    assert leaks(as_text(backend.logs))
    assert leaks(page)
