"""Count the events of an availability objective over a declared series.

Where providers are kept apart, each has rules with its id as the label `provider`, whatever the series calls
it. What has no known provider counts as `none`, and is set against all events, as for our own payments: a
value that nobody declared is no reason to lose a failure.
"""

from collections.abc import Iterator

from moneypath.alerting.matchers import none_of, one_of, selector
from moneypath.alerting.recorded import RecordedWindow, kept_apart_by
from moneypath.alerting.rules import Expr, RecordingRule, RuleLiteral, expr, fixed
from moneypath.path.objectives import AvailabilitySlo
from moneypath.path.series_events import ResolvedEvents
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER

_ZERO = fixed(0, "zero")


def event_recordings(
    slo: AvailabilitySlo, events: ResolvedEvents, names: RecordedWindow
) -> Iterator[RecordingRule]:
    """Yield the rules of valid and of bad events."""
    by, span = kept_apart_by(slo), names.span
    if not by:
        yield RecordingRule(names.valid, _increase(valid_selector(events), span))
        yield RecordingRule(names.bad, _bad(events, span, f"{names.valid} * "))
        return
    for provider, spelt in events.providers:
        here = {by: provider}
        only = one_of(events.provider_label, spelt)
        yield RecordingRule(names.valid, _increase(valid_selector(events, only), span), here)
        yield RecordingRule(
            names.bad, _bad(events, span, f'sum({names.valid}{{{by}="{provider}"}}) * ', only), here
        )
    without = {by: NO_PROVIDER}
    yield RecordingRule(names.valid, _increase(valid_selector(events), span), without)
    unknown = none_of(events.provider_label, events.every_spelling)
    yield RecordingRule(
        names.bad, _bad(events, span, f'sum({names.valid}{{{by}="{NO_PROVIDER}"}}) * ', unknown), without
    )


def valid_selector(events: ResolvedEvents, *more: str) -> str:
    """Return the series of valid events."""
    return f"{events.series}{selector((*events.operation, *events.valid), *more)}"


def bad_selector(events: ResolvedEvents, *more: str) -> str:
    """Return the series of bad events."""
    bad = [one_of(match.label, match.values) for match in events.bad]
    bad += [none_of(match.label, match.values) for match in events.good]
    return valid_selector(events, *bad, *more)


def _increase(series: str, span: RuleLiteral) -> Expr:
    return expr(f"sum(increase({series}[", span, "]))")


def _bad(events: ResolvedEvents, span: RuleLiteral, none: str, *only: str) -> Expr:
    # Without any series of bad events there are none, as long as there are valid ones.
    return expr(_increase(bad_selector(events, *only), span), f"\nor {none}", _ZERO)
