"""The one client of Prometheus' HTTP interface, bounded in time, bytes and samples."""

from moneypath.prometheus.client import Prometheus
from moneypath.prometheus.errors import PrometheusUnreachable, QueryFailed
from moneypath.prometheus.model import Sample, Series

__all__ = ["Prometheus", "PrometheusUnreachable", "QueryFailed", "Sample", "Series"]
