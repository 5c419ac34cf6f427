"""The series that a query of a runbook or a drill may read."""

from moneypath.alerting.names import recorded_series
from moneypath.path.model import MoneyPath
from moneypath.runbooks.queries import PROMETHEUS_SERIES


def known_series(path: MoneyPath) -> frozenset[str]:
    """Return the series of the catalogue, of the recording rules and of Prometheus itself."""
    emitted = {name for spec in path.known_metrics() for name in spec.sample_names}
    return frozenset(emitted | recorded_series(path) | PROMETHEUS_SERIES)
