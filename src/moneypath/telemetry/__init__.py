"""The instrumentation library that a service imports. A service needs no other package of ours.

Importing it has no side effect. `setup(catalogue, service=...)` returns a recorder and `logs.configure`
sets up logging. `integrations` has one module for each library; import only those that you use.

Public are the names in this module, in `catalogue.vocabulary`, `correlation`, `logs`, `otlp`, `redaction`,
`tracing` and `tracing.otel`, and in every module of the integrations. Anything else may change with any
release.
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
