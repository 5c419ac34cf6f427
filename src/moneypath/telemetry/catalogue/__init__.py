"""Every metric once: what it is called, what its labels may be, and the file that services load."""

from moneypath.telemetry.catalogue.catalogue import Catalogue
from moneypath.telemetry.catalogue.metric import Merge, MetricKind, MetricSpec, Unit

__all__ = ["Catalogue", "Merge", "MetricKind", "MetricSpec", "Unit"]
