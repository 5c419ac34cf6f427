"""Figures of which one measure is broken, or not known."""

import math
from collections.abc import Callable
from dataclasses import replace

from moneypath.capacity.client import ClientRequest
from moneypath.capacity.figures import Audit, Cost, Figures, FiredAlert, Reconciliation, Tally
from moneypath.capacity.gate_file import Limits, Measure, load_gate
from moneypath.capacity.histogram import Histogram
from moneypath.capacity.resources import ResourceSample
from moneypath.path.loader import FILE_NAME, load

from .changed_figures import (
    GATE_FILE,
    MEBIBYTE,
    PROJECT,
    compared,
    with_counted,
    with_requests,
    with_resources,
)

COMMITTED = load_gate(GATE_FILE, load(PROJECT / FILE_NAME))[0]

BURN = FiredAlert("MoneyPathAuthorizationBudgetBurn", "critical", "north", 12.0)
UNPOSTED = FiredAlert("MoneyPathCaptureUnposted", "critical", "north", 12.0, integrity=True)
TICKET = FiredAlert("MoneyPathCostPerTransactionHigh", "warning", "", 12.0)


def slower(figures: Figures, share: float) -> Histogram:
    """Return a latency of which this share is over the limit."""
    count = 10_000.0
    return Histogram({0.1: 0.0, 1.0: count * (1 - share), 10.0: count, math.inf: count})


def broken(figures: Figures) -> dict[Measure, Figures]:
    """Return, for each measure, figures that are good but for it."""
    kinds = {"capture_without_posting": 1}
    return {
        Measure.MACHINE: replace(
            figures, others_share=0.26, checkouts=round((figures.checkouts or 0) * 0.94)
        ),
        Measure.RATE: replace(figures, checkouts=round((figures.checkouts or 0) * 0.94)),
        Measure.EVIDENCE: with_counted(figures, postings=9_999.0),
        Measure.AVAILABILITY: with_counted(figures, authorizations=Tally(10_000, 11)),
        Measure.AUTHORIZATION_LATENCY: with_counted(figures, latency=slower(figures, 0.0101)),
        Measure.LEDGER_WRITE_SUCCESS: with_counted(figures, ledger_writes=Tally(10_000, 11)),
        Measure.LEDGER_DURABILITY: with_counted(figures, probe=Tally(500, 1)),
        Measure.ALERTS: with_counted(figures, alerts=(TICKET, BURN)),
        Measure.DRAIN: replace(figures, drain_seconds=None, undrained="1 operation unresolved"),
        Measure.ORACLE: replace(figures, audit=Audit(10_000, kinds, ("capture_without_posting: x",), ())),
        Measure.METRICS: replace(figures, metric_lies=("metrics lie: x",)),
        Measure.RECONCILIATION_LAG: replace(figures, reconciliation=Reconciliation(20.1, 0.0)),
        Measure.RECONCILIATION_BREAKS: replace(figures, reconciliation=Reconciliation(4.0, 1.0)),
        Measure.COST_PER_TRANSACTION: with_counted(figures, cost=Cost(4_000_001.0, 1.0)),
        Measure.CLIENT_LATENCY: with_requests(figures, take(1.01), every=90),
        Measure.ANSWERS: with_requests(figures, take(3.01), every=700),
        Measure.REFUSALS: with_requests(figures, refuse, every=700),
        Measure.APPROVALS: with_requests(figures, decline, every=40),
        Measure.MEMORY: with_resources(figures, grow(pss_bytes=49 * MEBIBYTE)),
        Measure.CONNECTIONS: replace(figures, connections=(80, 81 + _limits().connections_left_open)),
        Measure.PROCESSOR_TIME: with_resources(
            figures, grow(cpu_seconds=185 * 60 * _limits().processor_microseconds_per_checkout / 1e6)
        ),
        Measure.BYTES_WRITTEN: with_resources(
            figures, grow(written_bytes=185 * 60 * _limits().bytes_written_per_checkout)
        ),
        Measure.BASELINE: replace(figures, comparison=compared(0.01)),
    }


def _limits() -> Limits:
    return COMMITTED.limits


def take(seconds: float) -> Callable[[ClientRequest], ClientRequest]:
    """Return a change after which a request takes so long."""
    return lambda request: replace(request, answered=request.sent + seconds)


def refuse(request: ClientRequest) -> ClientRequest:
    """Return the request as refused."""
    return replace(request, outcome="rejected", status_codes=(422,))


def decline(request: ClientRequest) -> ClientRequest:
    """Return the request as declined."""
    return replace(request, outcome="declined")


def grow(**most: float) -> Callable[[ResourceSample, float], ResourceSample]:
    """Return a change by which each sample has grown so much at the end of the window."""

    def grown_by(sample: ResourceSample, passed: float) -> ResourceSample:
        grown = {name: getattr(sample, name) + rise * passed for name, rise in most.items()}
        return replace(sample, **grown)

    return grown_by


def unread(figures: Figures) -> dict[Measure, list[Figures]]:
    """Return, for each measure, every way in which it is not known."""
    audit = figures.audit
    assert audit is not None
    return {
        Measure.MACHINE: [replace(figures, others_share=None)],
        Measure.RATE: [replace(figures, checkouts=None)],
        Measure.EVIDENCE: [with_counted(figures, postings=None)],
        Measure.AVAILABILITY: [with_counted(figures, authorizations=each) for each in (None, Tally(0, 0))],
        Measure.AUTHORIZATION_LATENCY: [
            with_counted(figures, latency=each)
            for each in (None, Histogram({1.0: 0.0, math.inf: 0.0}), Histogram({0.5: 9.0, math.inf: 9.0}))
        ],
        Measure.LEDGER_WRITE_SUCCESS: [
            with_counted(figures, ledger_writes=each) for each in (None, Tally(0, 0))
        ],
        Measure.LEDGER_DURABILITY: [with_counted(figures, probe=each) for each in (None, Tally(0, 0))],
        Measure.ALERTS: [with_counted(figures, alerts=None)],
        Measure.DRAIN: [replace(figures, drain_seconds=None)],
        Measure.ORACLE: [
            replace(figures, audit=None),
            replace(figures, audit=replace(audit, missing_evidence=("the ledger: 0 captures seen",))),
        ],
        Measure.METRICS: [replace(figures, metric_lies=None)],
        Measure.RECONCILIATION_LAG: [replace(figures, reconciliation=None)],
        Measure.RECONCILIATION_BREAKS: [
            replace(figures, reconciliation=each) for each in (None, Reconciliation(1.0, None))
        ],
        Measure.COST_PER_TRANSACTION: [
            *(with_counted(figures, cost=each) for each in (None, Cost(0.0, 9.0), Cost(9.0, 0.0))),
            replace(figures, tariff_micro_units=None),
        ],
        **{
            measure: [replace(figures, client=None), with_requests(figures, _before_the_window)]
            for measure in (Measure.CLIENT_LATENCY, Measure.ANSWERS, Measure.REFUSALS, Measure.APPROVALS)
        },
        **{
            measure: [replace(figures, resources=each) for each in (None, (), (figures.resources or ())[:9])]
            for measure in (
                Measure.MEMORY,
                Measure.PROCESSOR_TIME,
                Measure.BYTES_WRITTEN,
            )
        },
        Measure.CONNECTIONS: [replace(figures, connections=None)],
        Measure.BASELINE: [replace(figures, comparison=None)],
    }


def _before_the_window(request: ClientRequest) -> ClientRequest:
    return replace(request, due=0.0)
