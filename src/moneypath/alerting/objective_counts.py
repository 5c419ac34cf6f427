"""Count the events of every objective over one window, from the counters themselves.

A drill and whoever else judges a whole window asks for this. The recorded series are windows that overlap,
and ratios do not average. Queries take the window as text, in production time as rules write it.
"""

from dataclasses import dataclass

from moneypath.alerting import series_sli
from moneypath.alerting.availability_sli import PAYMENTS, RESULTS
from moneypath.alerting.latency_sli import threshold_bucket
from moneypath.alerting.matchers import one_of, selector
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, LatencySlo, Slo
from moneypath.telemetry.catalogue.vocabulary import Outcome, Traffic


@dataclass(frozen=True, slots=True)
class ObjectiveCounts:
    """How to count one objective: PromQL with `{window}` for the window, of valid and of bad events.

    What is bad is what `bad` finds; no sample is no bad event as long as there are valid ones. `objective` is
    the least share of good events, as a decimal.
    """

    id: str
    title: str
    objective: str
    valid: str
    bad: str

    def valid_query(self, window: str) -> str:
        """Return the query for the valid events of `window`, such as `5m`."""
        return self.valid.replace("{window}", window)

    def bad_query(self, window: str) -> str:
        """Return the query for the bad events of `window`."""
        return self.bad.replace("{window}", window)


def objective_counts(path: MoneyPath) -> tuple[ObjectiveCounts, ...]:
    """Return the counts of every declared objective."""
    return tuple(ObjectiveCounts(slo.id, slo.title, str(slo.objective), *_queries(slo)) for slo in path.slos)


def _queries(slo: Slo) -> tuple[str, str]:
    if isinstance(slo, AvailabilitySlo):
        return _availability(slo)
    if isinstance(slo, LatencySlo):
        return _latency(slo)
    good_or_bad = selector(slo.select, one_of(slo.label, (*slo.good, *slo.bad)))
    bad = selector(slo.select, one_of(slo.label, slo.bad))
    return (
        f"sum(increase({slo.series}{good_or_bad}[{{window}}]))",
        f"sum(increase({slo.series}{bad}[{{window}}]))",
    )


def _latency(slo: LatencySlo) -> tuple[str, str]:
    series, select = slo.histogram.series, slo.histogram.select
    valid = f"sum(increase({series}_count{selector(select)}[{{window}}]))"
    fast = f"sum(increase({series}_bucket{selector(select, threshold_bucket(slo))}[{{window}}]))"
    # Without the bucket of the threshold nothing is known to be fast.
    return valid, f"clamp_min({valid} - ({fast} or {valid} * 0), 0)"


def _availability(slo: AvailabilitySlo) -> tuple[str, str]:
    if slo.counted:
        valid = f"sum(increase({series_sli.valid_selector(slo.counted)}[{{window}}]))"
        bad = f"sum(increase({series_sli.bad_selector(slo.counted)}[{{window}}]))"
        return valid, f"({bad} or {valid} * 0)"
    excluded = (f'outcome!~"{"|".join(slo.excluded_outcomes)}"',) if slo.excluded_outcomes else ()
    valid = f"sum({_payments(slo, *excluded)})"
    failed = f"(sum({_payments(slo, one_of('outcome', slo.bad_outcomes))}) or {valid} * 0)"
    if not slo.bad_results:
        return valid, failed
    # Canaries are in the results and not in the payments, so technical declines are capped as in the rules.
    technical = f"sum by (provider) (increase({RESULTS}{{{one_of('result', slo.bad_results)}}}[{{window}}]))"
    declined = f"sum by (provider) ({_payments(slo, one_of('outcome', (Outcome.DECLINED,)))})"
    lesser = f"sum({technical} <= {declined} or {declined} < {technical})"
    return valid, f"{failed} + ({lesser} or {valid} * 0)"


def _payments(slo: AvailabilitySlo, *matchers: str) -> str:
    chosen = ", ".join((f'operation="{slo.operation}"', f'traffic="{Traffic.LIVE}"', *matchers))
    return f"increase({PAYMENTS}{{{chosen}}}[{{window}}])"
