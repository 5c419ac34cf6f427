"""Series of well-known instrumentation libraries, as they export them without options of a team's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from moneypath.telemetry.catalogue import MetricKind

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
_CODES: Final = tuple(str(status.value) for status in HTTPStatus if status.value >= HTTPStatus.OK)
_GROUPED_CODES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")


class Preset(StrEnum):
    """A library whose series are known."""

    OPENTELEMETRY = "opentelemetry"
    FASTAPI_INSTRUMENTATOR = "prometheus-fastapi-instrumentator"


@dataclass(frozen=True, slots=True)
class PresetSeries:
    """One series of a preset: each label with its values, or None where only the service knows them."""

    kind: MetricKind
    labels: Mapping[str, tuple[str, ...] | None]
    buckets: tuple[float, ...] = field(default=())


PRESETS: Final[Mapping[Preset, Mapping[str, PresetSeries]]] = {
    # Its FastAPI, ASGI and WSGI packages, with OTEL_SEMCONV_STABILITY_OPT_IN=http; older names are in
    # milliseconds. `http_route` is absent where no route matched, `error_type` where nothing failed.
    Preset.OPENTELEMETRY: {
        "http_server_request_duration_seconds": PresetSeries(
            MetricKind.HISTOGRAM,
            {
                "http_request_method": (*_METHODS, "_OTHER"),
                "http_response_status_code": _CODES,
                "http_route": None,
                "url_scheme": ("http", "https"),
                "network_protocol_version": ("1.0", "1.1", "2", "3"),
                "error_type": None,
            },
            (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
        ),
    },
    # `handler` is `none` where no route matched.
    Preset.FASTAPI_INSTRUMENTATOR: {
        "http_requests_total": PresetSeries(
            MetricKind.COUNTER, {"handler": None, "method": _METHODS, "status": _GROUPED_CODES}
        ),
        "http_request_duration_seconds": PresetSeries(
            MetricKind.HISTOGRAM, {"handler": None, "method": _METHODS}, (0.1, 0.5, 1)
        ),
        "http_request_duration_highr_seconds": PresetSeries(
            MetricKind.HISTOGRAM,
            {},
            (
                *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5),
                *(7.5, 10, 30, 60),
            ),
        ),
    },
}
