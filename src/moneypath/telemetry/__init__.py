"""The instrumentation library: what a service imports, and nothing else of ours.

Importing does nothing. `setup(catalogue, service=...)` gives a recorder; `logs.configure` sets up
logging; `integrations.*` hold one module a library and are imported by those who use it.

Public is what this module offers, what is in `catalogue.vocabulary`, `correlation`, `logs`, `otlp`,
`redaction`, `tracing` and `tracing.otel`, and every module of the integrations. Anything else may
change with any release.
"""

from moneypath.telemetry.catalogue import Catalogue, Merge, MetricKind, MetricSpec, Unit
from moneypath.telemetry.errors import CatalogueInvalid, LabelsUnknown, MetricUnknown, TelemetryError
from moneypath.telemetry.setup import Recorder, setup

__all__ = [
    "Catalogue",
    "CatalogueInvalid",
    "LabelsUnknown",
    "Merge",
    "MetricKind",
    "MetricSpec",
    "MetricUnknown",
    "Recorder",
    "TelemetryError",
    "Unit",
    "setup",
]
