"""The criteria of the gate: pure functions from figures to results."""

from collections.abc import Mapping
from typing import Final

from moneypath.alerting.conventions import Severity
from moneypath.capacity import baseline_criterion, client_criteria, resource_criteria
from moneypath.capacity.figures import MAX_EXAMPLES, Figures, Tally
from moneypath.capacity.gate_file import DeclaredObjectives, Gate, Measure
from moneypath.capacity.observation import (
    NOT_READ,
    NOTHING,
    Criterion,
    CriterionResult,
    CriterionStatus,
    Observation,
)


def evaluate_criteria(
    figures: Figures, gate: Gate, objectives: DeclaredObjectives
) -> tuple[CriterionResult, ...]:
    """Return one result for each measure, in a fixed order."""
    return tuple(
        _criterion_result(measure, gate, CRITERIA[measure](figures, gate, objectives)) for measure in CRITERIA
    )


def _criterion_result(measure: Measure, gate: Gate, seen: Observation) -> CriterionResult:
    if seen.inconclusive:
        status = CriterionStatus.INCONCLUSIVE
    elif seen.holds is None:
        status = CriterionStatus.UNKNOWN if gate.requires(measure) else CriterionStatus.UNMEASURED
    else:
        status = CriterionStatus.MET if seen.holds else CriterionStatus.BROKEN
    return CriterionResult(measure, status, seen.seen, seen.allowed, seen.details)


def _machine(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    most, share = float(gate.limits.others_at_most_ratio), figures.others_share
    allowed = f"at most {most:.0%} used by others"
    if share is None:
        return Observation(None, NOT_READ, allowed)
    return Observation(share <= most, f"{share:.0%} used by others", allowed)


def _rate(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    asked, seconds = gate.load.checkouts_per_second, figures.window.asked_seconds
    share = float(gate.limits.least_rate_ratio)
    allowed = f"at least {share:.0%} of {asked}/s"
    if figures.checkouts is None or seconds <= 0:
        return Observation(None, NOT_READ, allowed)
    reached = figures.checkouts / seconds
    return Observation(
        reached >= share * asked, f"{reached:.1f} checkouts/s = {reached / asked:.1%}", allowed
    )


def _evidence(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    least, postings = gate.limits.least_postings, figures.counted.postings
    allowed = f"at least {least} postings"
    if postings is None:
        return Observation(None, NOT_READ, allowed)
    return Observation(postings >= least, f"{postings:.0f} postings", allowed)


def _availability(figures: Figures, _: Gate, objectives: DeclaredObjectives) -> Observation:
    objective = float(objectives.availability.objective)
    return _share(figures.counted.authorizations, objective, "authorizations")


def _ledger_writes(figures: Figures, _: Gate, objectives: DeclaredObjectives) -> Observation:
    return _share(figures.counted.ledger_writes, float(objectives.ledger_writes.objective), "ledger writes")


def _latency(figures: Figures, _: Gate, objectives: DeclaredObjectives) -> Observation:
    quantile, limit = float(objectives.latency.objective), objectives.within_seconds
    allowed = f"{quantile:.4%} within {limit:g} s".replace(".0000%", "%")
    histogram = figures.counted.latency
    if histogram is None or limit not in histogram.counts:
        return Observation(None, NOT_READ, allowed)
    p95, p99 = histogram.quantile(0.95), histogram.quantile(0.99)
    if p95 is None or p99 is None:
        return Observation(None, NOTHING, allowed)
    slow = histogram.over(limit)
    within = 1 - slow / histogram.count
    seen = f"p95 {_seconds(p95)}, p99 {_seconds(p99)}; {within:.3%} within {limit:g} s"
    return Observation(slow <= (1 - quantile) * histogram.count * (1 + 1e-12), seen, allowed)


def _durability(figures: Figures, _: Gate, __: DeclaredObjectives) -> Observation:
    probe, allowed = figures.counted.probe, "0 missing"
    if probe is None:
        return Observation(None, NOT_READ, allowed)
    if probe.valid <= 0:
        return Observation(None, "no write was read back", allowed)
    return Observation(probe.bad <= 0, f"{probe.bad:.0f} of {probe.valid:.0f} reads found nothing", allowed)


def _alerts(figures: Figures, _: Gate, __: DeclaredObjectives) -> Observation:
    fired, allowed = figures.counted.alerts, "no critical alert, and the watchdog's beat throughout"
    if fired is None:
        return Observation(None, "the watchdog's beat could not be read", allowed)
    critical = sorted({alert.name for alert in fired if alert.severity == Severity.CRITICAL})
    others = sum(alert.severity != Severity.CRITICAL for alert in fired)
    seen = f"critical: {', '.join(critical) or 'none'}; {others} others"
    words = tuple(
        f"{alert.name} ({', '.join(filter(None, (alert.severity, alert.about)))}) "
        f"after {alert.after_seconds:.0f} s"
        for alert in fired
    )
    return Observation(not critical, seen, allowed, words)


def _drain(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    allowed = f"within {gate.drain:g} s"
    if figures.undrained:
        return Observation(False, figures.undrained, allowed)
    if figures.drain_seconds is None:
        return Observation(None, "the drain was not awaited", allowed)
    return Observation(figures.drain_seconds <= gate.drain, f"{figures.drain_seconds:.1f} s", allowed)


def _oracle(figures: Figures, _: Gate, __: DeclaredObjectives) -> Observation:
    audit, allowed = figures.audit, "three witnesses agree"
    if audit is None:
        return Observation(None, "a witness could not be read", allowed)
    if audit.missing_evidence:
        return Observation(None, "the evidence is incomplete", allowed, audit.missing_evidence)
    if not audit.discrepancies:
        return Observation(True, f"whole, over {audit.postings} captures", allowed)
    kinds = ", ".join(f"{count} {kind}" for kind, count in audit.discrepancies.items())
    return Observation(False, kinds, allowed, audit.examples)


def _metrics(figures: Figures, _: Gate, __: DeclaredObjectives) -> Observation:
    lies, allowed = figures.metric_lies, "equal to clients, ledger and providers"
    if lies is None:
        return Observation(None, "the metrics were not compared", allowed)
    return Observation(not lies, f"{len(lies)} differences", allowed, lies[:MAX_EXAMPLES])


def _lag(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    allowed = f"at most {gate.limits.reconciliation_lag:g} s"
    if figures.reconciliation is None:
        return Observation(None, "no watermark of every provider", allowed)
    lag = figures.reconciliation.lag_seconds
    return Observation(lag <= gate.limits.reconciliation_lag, f"{lag:.1f} s", allowed)


def _breaks(figures: Figures, _: Gate, __: DeclaredObjectives) -> Observation:
    if figures.reconciliation is None or figures.reconciliation.breaks is None:
        return Observation(None, NOT_READ, "0 open")
    found = figures.reconciliation.breaks
    return Observation(found <= 0, f"{found:.0f} open", "0 open")


def _cost(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    limit = gate.limits.cost_per_transaction_micro_units
    allowed = f"at most {limit / 1e6:.4f} a captured payment"
    cost = figures.counted.cost
    each = None if cost is None else cost.per_transaction
    if each is None:
        return Observation(None, NOT_READ if cost is None else NOTHING, allowed)
    seen, tariff = f"{each / 1e6:.4f} of the reporting currency", figures.tariff_micro_units
    if cost is None or tariff is None or tariff <= 0:
        return Observation(None, "the fees of what clients captured are not known", allowed)
    above, most = cost.micro_units / tariff - 1, float(gate.limits.cost_above_tariff_at_most_ratio)
    return Observation(
        each <= limit and above <= most,
        f"{seen}, {above:+.1%} on the dearest declared fees",
        f"{allowed} and {most:+.1%}",
    )


CRITERIA: Final[Mapping[Measure, Criterion]] = {
    Measure.MACHINE: _machine,
    Measure.RATE: _rate,
    Measure.EVIDENCE: _evidence,
    Measure.AVAILABILITY: _availability,
    Measure.AUTHORIZATION_LATENCY: _latency,
    Measure.CLIENT_LATENCY: client_criteria.latency,
    Measure.ANSWERS: client_criteria.answers,
    Measure.REFUSALS: client_criteria.refusals,
    Measure.APPROVALS: client_criteria.approvals,
    Measure.LEDGER_WRITE_SUCCESS: _ledger_writes,
    Measure.LEDGER_DURABILITY: _durability,
    Measure.ALERTS: _alerts,
    Measure.DRAIN: _drain,
    Measure.ORACLE: _oracle,
    Measure.METRICS: _metrics,
    Measure.RECONCILIATION_LAG: _lag,
    Measure.RECONCILIATION_BREAKS: _breaks,
    Measure.COST_PER_TRANSACTION: _cost,
    Measure.MEMORY: resource_criteria.memory,
    Measure.CONNECTIONS: resource_criteria.connections,
    Measure.PROCESSOR_TIME: resource_criteria.processor_time,
    Measure.BYTES_WRITTEN: resource_criteria.bytes_written,
    Measure.BASELINE: baseline_criterion.baseline,
}


def _share(tally: Tally | None, objective: float, what: str) -> Observation:
    allowed = f"at least {objective:.4%}".replace("00%", "%")
    if tally is None:
        return Observation(None, NOT_READ, allowed)
    share = tally.good_share
    if share is None:
        return Observation(None, NOTHING, allowed)
    return Observation(
        share >= objective, f"{share:.3%}: {tally.bad:.0f} bad of {tally.valid:.0f} {what}", allowed
    )


def _seconds(value: float) -> str:
    return "over the last edge" if value == float("inf") else f"{value * 1000:.0f} ms"
