"""The verdict as a JSON document; its fields keep their names."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from moneypath.capacity.client import ClientFigures, quantile
from moneypath.capacity.figures import Comparison, Figures, Tally
from moneypath.capacity.histogram import Histogram
from moneypath.capacity.resources import inside
from moneypath.capacity.verdict import ReleaseVerdict


def to_document(verdict: ReleaseVerdict, *, phases: Mapping[str, float]) -> dict[str, Any]:
    """Return the verdict as JSON values; times are seconds, `phases` says how long each phase took."""
    return {
        "title": verdict.title,
        "build": verdict.build,
        "outcome": verdict.outcome.value,
        "exit_code": verdict.exit_code,
        "summary": verdict.summary,
        "ended_early": verdict.ended_early,
        "measures": [
            {
                "measure": str(result.measure),
                "status": result.status.value,
                "seen": result.seen,
                "allowed": result.allowed,
                "details": list(result.details),
            }
            for result in verdict.results
        ],
        "figures": _figures(verdict.figures),
        "phases_seconds": {name: round(seconds, 1) for name, seconds in phases.items()},
    }


def _figures(figures: Figures) -> dict[str, Any]:
    window, counted, audit = figures.window, figures.counted, figures.audit
    rate = None
    if figures.checkouts is not None and window.asked_seconds > 0:
        rate = figures.checkouts / window.asked_seconds
    return {
        "window": {
            "start": _instant(window.start),
            "asked_until": _instant(window.asked_until),
            "end": _instant(window.end),
            "asked_seconds": round(window.asked_seconds, 3),
        },
        "checkouts": figures.checkouts,
        "checkouts_per_second": rate,
        "postings": counted.postings,
        "authorizations": _tally(counted.authorizations),
        "authorization_seconds": _latency(counted.latency),
        "ledger_writes": _tally(counted.ledger_writes),
        "ledger_probe": _tally(counted.probe),
        "alerts": None
        if counted.alerts is None
        else [
            {"alert": a.name, "severity": a.severity, "about": a.about, "after_seconds": a.after_seconds}
            for a in counted.alerts
        ],
        "drain_seconds": figures.drain_seconds,
        "machine_share_used_by_others": figures.others_share,
        "reconciliation": None
        if figures.reconciliation is None
        else {
            "lag_seconds": figures.reconciliation.lag_seconds,
            "breaks": figures.reconciliation.breaks,
        },
        "oracle": None
        if audit is None
        else {"captures_posted": audit.postings, "discrepancies": dict(audit.discrepancies)},
        "cost_per_transaction_micro_units": counted.cost and counted.cost.per_transaction,
        "tariff_micro_units": figures.tariff_micro_units,
        "client": _client(figures.client),
        "resources": _resources(figures),
        "connections": figures.connections,
        "metric_lies": figures.metric_lies,
        "comparison": None if figures.comparison is None else _comparison(figures.comparison),
    }


def _client(client: ClientFigures | None) -> dict[str, float | None] | None:
    if client is None:
        return None
    latencies, (decided, approved) = client.from_due, client.authorizations
    return {
        "requests": len(client.requests),
        "p95_from_due": quantile(latencies, 0.95) if latencies else None,
        "p99_from_due": quantile(latencies, 0.99) if latencies else None,
        "slowest": latencies[-1] if latencies else None,
        "unanswered": client.unanswered,
        "failed": client.failed,
        "refused": client.refused,
        "authorizations_decided": decided,
        "authorizations_approved": approved,
    }


def _resources(figures: Figures) -> dict[str, Any] | None:
    samples = inside(figures.resources or (), figures.window)
    return {"first": asdict(samples[0]), "last": asdict(samples[-1])} if samples else None


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "baseline": comparison.baseline,
        "unusable": comparison.unusable,
        "sighted": comparison.sighted,
        "differences": [asdict(each) for each in comparison.differences],
        "build_windows": [dict(each) for each in comparison.build_windows],
        "baseline_windows": [dict(each) for each in comparison.baseline_windows],
    }


def _tally(tally: Tally | None) -> dict[str, float | None] | None:
    if tally is None:
        return None
    return {"valid": tally.valid, "bad": tally.bad, "good_share": tally.good_share}


def _latency(histogram: Histogram | None) -> dict[str, float | None] | None:
    if histogram is None:
        return None
    return {"p95": _finite(histogram.quantile(0.95)), "p99": _finite(histogram.quantile(0.99))}


def _finite(value: float | None) -> float | None:
    """Return a finite number, or None for infinity, which JSON lacks."""
    return value if value is not None and math.isfinite(value) else None


def _instant(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds")
