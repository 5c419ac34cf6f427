"""`push`: the one call that exports a recorder's metrics to a collector."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.resources import Resource

from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.otlp.reader import RecorderReader
from moneypath.telemetry.recording.recorder import Recorder

PATH = "/v1/metrics"
LONGEST_INTERVAL_SECONDS = 3600.0


def push(
    recorder: Recorder,
    *,
    endpoint: str | None = None,
    interval_seconds: float = 10.0,
    timeout_seconds: float = 5.0,
    headers: Mapping[str, str] | None = None,
    instance: str | None = None,
) -> RecorderReader:
    """Export a recorder's metrics by OTLP over HTTP every `interval_seconds`; `close()` stops it.

    `endpoint` is the collector's base address (`http://collector:4318`). Without it, OpenTelemetry's own
    environment variables apply. An export, retries included, ends after `timeout_seconds`. Call it in every
    worker: one worker exports the metrics of all, and another takes over when it exits. `instance`
    distinguishes processes of one service and must be the same for workers that share their metrics
    (default: host and process id, or host and worker group). Raises TelemetryError for an invalid address
    or time.
    """
    for name, seconds in (("interval_seconds", interval_seconds), ("timeout_seconds", timeout_seconds)):
        if not 0 < seconds <= LONGEST_INTERVAL_SECONDS:
            raise TelemetryError(
                f"OTLP push: {name} is {seconds}.",
                hint=f"Give seconds above 0 and at most {LONGEST_INTERVAL_SECONDS:g}.",
            )
    exporter = OTLPMetricExporter(
        endpoint=None if endpoint is None else _metrics_url(endpoint),
        timeout=timeout_seconds,
        headers=None if headers is None else dict(headers),
    )
    resource = Resource.create(
        {
            "service.name": recorder.service,
            "service.instance.id": instance or recorder.instance,
        }
    )
    return RecorderReader(
        recorder,
        exporter,
        resource=resource,
        interval_seconds=interval_seconds,
        timeout_seconds=timeout_seconds,
    )


def _metrics_url(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    # The exporter logs its address, so it must not contain credentials.
    if not valid or parts.username is not None or parts.query or parts.fragment:
        raise TelemetryError(
            "OTLP push: the endpoint is not the address of a collector.",
            hint="Give an address such as http://collector:4318, and put credentials into headers.",
        )
    return endpoint if parts.path.endswith(PATH) else endpoint.rstrip("/") + PATH
