"""The verdict as plain values, for machines: what is in it stays where it is."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from moneypath.capacity.figures import Figures, Tally
from moneypath.capacity.histogram import Histogram
from moneypath.capacity.verdict import Verdict


def to_document(verdict: Verdict, *, phases: Mapping[str, float]) -> dict[str, Any]:
    """Return the verdict as JSON-ready values; times in seconds, `phases` what the run spent them on."""
    return {
        "title": verdict.title,
        "build": verdict.build,
        "outcome": verdict.outcome.value,
        "exit_code": verdict.exit_code,
        "summary": verdict.summary,
        "ended_early": verdict.ended_early,
        "measures": [
            {
                "measure": finding.measure.value,
                "status": finding.status.value,
                "seen": finding.seen,
                "allowed": finding.allowed,
                "details": list(finding.details),
            }
            for finding in verdict.findings
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
    """Return a number that JSON knows; beyond the last edge there is none."""
    return value if value is not None and math.isfinite(value) else None


def _instant(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds")
