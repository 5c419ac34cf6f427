"""What is refused while telemetry is being wired. Recording itself never raises."""

from moneypath.errors import MoneypathError
from moneypath.telemetry.redaction import redact


class TelemetryError(MoneypathError):
    """A mistake in wiring telemetry, found before the first record.

    What it quotes was given by a caller, so it is redacted.
    """

    code = "telemetry_error"

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(redact(what), hint=redact(hint))


class CatalogueInvalid(TelemetryError):
    """A catalogue breaks a rule of naming, of labels or of its file format."""

    code = "catalogue_invalid"


class MetricUnknown(TelemetryError):
    """A metric was asked for that this service does not record, or as another kind than declared."""

    code = "metric_unknown"


class LabelsUnknown(TelemetryError):
    """A handle was bound with a label name or value that the catalogue does not declare."""

    code = "labels_unknown"
