"""Why a query has no answer. Nothing is known then; it does not mean zero."""

from moneypath.errors import MoneypathError


class QueryFailed(MoneypathError):
    """Prometheus refused a query, or gave an answer that cannot be used."""

    code = "query_failed"


class PrometheusUnreachable(QueryFailed):
    """Prometheus did not answer."""

    code = "prometheus_unreachable"
