"""The one call that sends a recorder's numbers to a collector."""

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
    """Send a recorder's numbers by OTLP over HTTP every `interval_seconds`; `close()` ends it.

    `endpoint` is the collector's base address (`http://collector:4318`); without one, the variables that
    OpenTelemetry defines decide. An export gives up after `timeout_seconds`, its retries included.
    Call it in every worker: one of them sends the numbers of all, and another one when it has gone.
    `instance` tells processes of one service apart, and has to be the same for workers that share
    (default: host and process id, or host and group). Raises TelemetryError for an address or a time
    that cannot be meant.
    """
    for name, seconds in (("interval_seconds", interval_seconds), ("timeout_seconds", timeout_seconds)):
        if not 0 < seconds <= LONGEST_INTERVAL_SECONDS:
            raise TelemetryError(
                f"otlp push: {name} is {seconds}", hint=f"above 0, at most {LONGEST_INTERVAL_SECONDS:g}"
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
    # An address with credentials would stand in the exporter's own log lines.
    if not valid or parts.username is not None or parts.query or parts.fragment:
        raise TelemetryError(
            "otlp push: endpoint is not the address of a collector",
            hint="as http://collector:4318: http or https, no user, no query; credentials belong in headers",
        )
    return endpoint if parts.path.endswith(PATH) else endpoint.rstrip("/") + PATH
