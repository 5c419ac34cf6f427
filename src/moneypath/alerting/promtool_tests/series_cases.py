"""The test cases that only availability over a declared series has: which events count, and as what."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from moneypath.alerting.promtool_tests.case import Case, some
from moneypath.alerting.promtool_tests.ratio_alert import FILLING_SECONDS, RatioAlert
from moneypath.alerting.promtool_tests.series_traffic import event_name
from moneypath.alerting.promtool_tests.traffic import BUSY, Phase, values
from moneypath.path.selection import metric_of
from moneypath.path.series_events import ResolvedEvents

_MANY = 100
_Labels = Mapping[str, tuple[str, ...]]


def counting_cases(tested: RatioAlert, counted: ResolvedEvents) -> Iterator[Case]:
    """Yield which events are good, which are bad, which do not count, and how a provider is spelt."""
    known = metric_of(counted.series, tested.catalogue).labels
    yield from _told_cases(tested, counted, known)
    yield from _selection_cases(tested, counted, known)
    strong = (Phase(FILLING_SECONDS, bad=tested.strong),)
    for spelt in counted.spelt(tested.provider) if counted.provider_label else ():
        at = {counted.provider_label: spelt}
        yield Case(
            f"counts {counted.provider_label} {spelt} for {tested.provider}",
            _both(tested, counted, strong, at),
            (tested.fires_at(FILLING_SECONDS),),
        )


def _told_cases(tested: RatioAlert, counted: ResolvedEvents, known: _Labels) -> Iterator[Case]:
    """Yield each value of the labels that tell good from bad."""
    valid = {match.label: match.values for match in (*counted.operation, *counted.valid)}
    strong, healthy = (Phase(FILLING_SECONDS, bad=tested.strong),), (Phase(FILLING_SECONDS),)
    fires, quiet = (tested.fires_at(FILLING_SECONDS),), (tested.quiet_at(FILLING_SECONDS),)
    for match in (*counted.good, *counted.bad):
        allowed = valid.get(match.label, known[match.label])
        rest = some(sorted(set(allowed) - set(match.values)))
        named = tuple(value for value in match.values if value in allowed)
        bad, good = (rest, named) if counted.good else (named, rest)
        for value in bad:
            of = {match.label: value}
            healthy_ones = {_name(tested, counted, is_bad=False): values(strong, bad=False)}
            failed = {_name(tested, counted, of, is_bad=True): values(strong, bad=True)}
            yield Case(f"counts {match.label} {value} as bad", healthy_ones | failed, fires)
        for value in good:
            of = {match.label: value}
            well = {_name(tested, counted, of, is_bad=not counted.good): values(healthy, bad=False)}
            yield Case(f"counts {match.label} {value} as good", well, quiet)


def _selection_cases(tested: RatioAlert, counted: ResolvedEvents, known: _Labels) -> Iterator[Case]:
    """Yield the values that valid events have, and those that they do not have."""
    strong, healthy = (Phase(FILLING_SECONDS, bad=tested.strong),), (Phase(FILLING_SECONDS),)
    told = {match.label for match in (*counted.good, *counted.bad)}
    for match in (*counted.operation, *counted.valid):
        for value in some(sorted(set(known[match.label]) - set(match.values))):
            own = {_name(tested, counted, is_bad=False): values(healthy, bad=False)}
            other = {_name(tested, counted, {match.label: value}, is_bad=True): values(strong, bad=True)}
            quiet, fires = (tested.quiet_at(FILLING_SECONDS),), (tested.fires_at(FILLING_SECONDS),)
            yield Case(f"does not count {match.label} {value}", own | other, quiet)
            # So many of them would make the failures a small share, if they were valid.
            many = (Phase(FILLING_SECONDS, rate=BUSY * _MANY),)
            crowd = {_name(tested, counted, {match.label: value}, is_bad=False): values(many, bad=False)}
            failing = _both(tested, counted, strong, {})
            yield Case(f"is not hidden by any number of {match.label} {value}", failing | crowd, fires)
        for value in match.values if match.label not in told else ():
            counts = _both(tested, counted, strong, {match.label: value})
            yield Case(f"counts {match.label} {value}", counts, (tested.fires_at(FILLING_SECONDS),))


def _both(
    tested: RatioAlert, counted: ResolvedEvents, phases: tuple[Phase, ...], of: Mapping[str, str]
) -> dict[str, str]:
    return {
        _name(tested, counted, of, is_bad=False): values(phases, bad=False),
        _name(tested, counted, of, is_bad=True): values(phases, bad=True),
    }


def _name(
    tested: RatioAlert,
    counted: ResolvedEvents,
    others: Mapping[str, str] = MappingProxyType({}),
    *,
    is_bad: bool,
) -> str:
    return event_name(tested.job, counted, tested.provider, is_bad=is_bad, others=others)
