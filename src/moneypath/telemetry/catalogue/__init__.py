"""The catalogue of metrics: names, kinds, closed label sets, and the file that services load."""

from moneypath.telemetry.catalogue.catalogue import Catalogue
from moneypath.telemetry.catalogue.metric import Merge, MetricKind, MetricSpec, Unit

__all__ = ["Catalogue", "Merge", "MetricKind", "MetricSpec", "Unit"]
