"""The test cases that only an objective on a counter has: good, bad and other events."""

from collections.abc import Iterator
from fractions import Fraction

from moneypath.alerting.promtool_tests.case import Case, ValueAt, some
from moneypath.alerting.promtool_tests.events_traffic import counter_name
from moneypath.alerting.promtool_tests.ratio_alert import FILLING_SECONDS, RatioAlert
from moneypath.alerting.promtool_tests.traffic import Phase, values
from moneypath.alerting.recorded import good_share_series
from moneypath.path.objectives import EventsSlo
from moneypath.path.selection import metric_of


def counting_cases(tested: RatioAlert, slo: EventsSlo) -> Iterator[Case]:
    """Yield which values of the label count as bad, as good, or not at all."""
    catalogue, seconds = tested.catalogue, FILLING_SECONDS
    strong, healthy = (Phase(seconds, bad=tested.strong),), (Phase(seconds),)
    quiet, fires = (tested.quiet_at(seconds),), (tested.fires_at(seconds),)
    for value in slo.bad:
        bad = {counter_name(tested.job, slo, catalogue, value): values(strong, bad=True)}
        good = {counter_name(tested.job, slo, catalogue, slo.good[0]): values(strong, bad=False)}
        yield Case(f"counts {value} as bad", good | bad, fires)
    for value in slo.good:
        good = {counter_name(tested.job, slo, catalogue, value): values(healthy, bad=False)}
        share = ValueAt(seconds, f"sum({good_share_series(slo)})", Fraction(1))
        yield Case(f"counts {value} as good", good, quiet, (share,))
    for value in some(
        sorted(set(metric_of(slo.series, catalogue).labels[slo.label]) - {*slo.good, *slo.bad})
    ):
        other = {counter_name(tested.job, slo, catalogue, value): values(strong, bad=True)}
        yield Case(f"leaves {value} out", tested.events(*healthy) | other, quiet)
    selected = {match.label: match.values for match in slo.select}
    for label, known in metric_of(slo.series, catalogue).labels.items():
        for value in some(sorted(set(known) - set(selected.get(label, known)))):
            strange = {
                counter_name(tested.job, slo, catalogue, slo.bad[0], **{label: value}): values(
                    strong, bad=True
                )
            }
            yield Case(f"does not count {label} {value}", tested.events(*healthy) | strange, quiet)
        for value in (selected.get(label) or some(known)) if label != slo.label else ():
            own = {
                counter_name(tested.job, slo, catalogue, slo.good[0], **{label: value}): values(
                    strong, bad=False
                ),
                counter_name(tested.job, slo, catalogue, slo.bad[0], **{label: value}): values(
                    strong, bad=True
                ),
            }
            yield Case(f"counts {label} {value}", own, fires)
    alone = {counter_name(tested.job, slo, catalogue, slo.bad[0]): values(healthy, bad=False)}
    yield Case("fires when there are only bad events", alone, fires)
