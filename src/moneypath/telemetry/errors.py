"""Errors raised while telemetry is set up. Recording itself never raises."""

from moneypath.errors import MoneypathError
from moneypath.telemetry.redaction import redact


class TelemetryError(MoneypathError):
    """A mistake in setting up telemetry, found before the first record.

    The message may quote what a caller passed, so it is redacted.
    """

    code = "telemetry_error"

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(redact(what), hint=redact(hint))


class CatalogueInvalid(TelemetryError):
    """A catalogue breaks a rule about names, labels or its file format."""

    code = "catalogue_invalid"


class MetricUnknown(TelemetryError):
    """The service does not record this metric, or the catalogue declares it with another kind."""

    code = "metric_unknown"


class LabelsUnknown(TelemetryError):
    """A label name or value is not declared in the catalogue."""

    code = "labels_unknown"
