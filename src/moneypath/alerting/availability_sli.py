"""Count the events of an availability objective.

Only live traffic counts. Technical declines are bad, but among the payments they are plain `declined`, and
the series that tells them apart has no traffic label. So they are capped at the live declines: technical
declines of canaries alone never page, and the ratio never passes 1. While canaries run, they may count
for as many ordinary live declines, which errs towards a page.

Payments that failed before a provider was chosen carry the provider `none`. Nothing ever succeeds there,
so they are compared with all valid payments: their ratio is their share of all payments.
"""

from collections.abc import Iterator

from moneypath.alerting import series_sli
from moneypath.alerting.matchers import one_of
from moneypath.alerting.recorded import RecordedWindow, kept_apart_by
from moneypath.alerting.rules import Expr, RecordingRule, RuleLiteral, expr, fixed
from moneypath.path.objectives import PAYMENTS, RESULTS, AvailabilitySlo
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, Outcome, Traffic

__all__ = ["PAYMENTS", "RESULTS", "event_recordings", "whole_path_ratio"]

_ANY_PROVIDER = f'provider!="{NO_PROVIDER}"'
_WITHOUT_PROVIDER = f'provider="{NO_PROVIDER}"'
_ZERO = fixed(0, "zero")


def event_recordings(slo: AvailabilitySlo, names: RecordedWindow) -> Iterator[RecordingRule]:
    """Yield the rules of valid and of bad events; where providers are kept apart, for what had none, too."""
    if slo.counted:
        yield from series_sli.event_recordings(slo, slo.counted, names)
        return
    if not kept_apart_by(slo):
        yield RecordingRule(names.valid, _increase("sum", slo, names.span, *_valid_outcomes(slo)))
        yield RecordingRule(names.bad, _bad(slo, names))
        return
    span, without = names.span, {"provider": NO_PROVIDER}
    bad = one_of("outcome", slo.bad_outcomes)
    yield RecordingRule(names.valid, _valid(slo, span))
    yield RecordingRule(names.valid, _increase("sum", slo, span, *_valid_outcomes(slo)), without)
    yield RecordingRule(names.bad, _bad(slo, names))
    # Without a series of such failures there are none, as long as there are payments.
    none = expr(f"\nor sum({names.valid}{{{_WITHOUT_PROVIDER}}}) * ", _ZERO)
    yield RecordingRule(names.bad, expr(_increase("sum", slo, span, _WITHOUT_PROVIDER, bad), none), without)


def whole_path_ratio(names: RecordedWindow) -> RecordingRule:
    """Return the rule of the bad share over all providers.

    What is valid without a provider holds all payments already, so it is no further summand.
    """
    everything = f"{names.valid}{{{_WITHOUT_PROVIDER}}}"
    return RecordingRule(names.whole_ratio, expr(f"sum({names.bad}) / sum({everything} > ", _ZERO, ")"))


def _valid(slo: AvailabilitySlo, span: RuleLiteral) -> Expr:
    return _increase("sum by (provider)", slo, span, _ANY_PROVIDER, *_valid_outcomes(slo))


def _bad(slo: AvailabilitySlo, names: RecordedWindow) -> Expr:
    span, by = names.span, kept_apart_by(slo)
    aggregate, only = ("sum by (provider)", (_ANY_PROVIDER,)) if by else ("sum", ())
    # Without any series of bad outcomes there are none, as long as there are valid events.
    nothing = expr(f"{names.valid}{{{_ANY_PROVIDER}}} * " if by else f"{names.valid} * ", _ZERO)
    failed = _increase(aggregate, slo, span, *only, one_of("outcome", slo.bad_outcomes))
    failed = expr("(\n  ", failed, "\n  or ", nothing, "\n)")
    if not slo.bad_results:
        return failed
    declined_only = one_of("outcome", (Outcome.DECLINED,))
    declined = _increase(aggregate, slo, span, *only, declined_only)
    results = "|".join(slo.bad_results)
    technical = expr(f'{aggregate} (increase({RESULTS}{{result=~"{results}"}}[', span, "]))")
    lesser = expr(
        technical, "\n  <= ", declined, "\n  or ", declined, "\n  < ", technical, "\n  or ", nothing
    )
    return expr(failed, "\n+ (\n  ", lesser, "\n)")


def _increase(aggregate: str, slo: AvailabilitySlo, span: RuleLiteral, *matchers: str) -> Expr:
    chosen = ", ".join((f'operation="{slo.operation}"', f'traffic="{Traffic.LIVE}"', *matchers))
    return expr(f"{aggregate} (increase({PAYMENTS}{{{chosen}}}[", span, "]))")


def _valid_outcomes(slo: AvailabilitySlo) -> tuple[str, ...]:
    return (f'outcome!~"{"|".join(slo.excluded_outcomes)}"',) if slo.excluded_outcomes else ()
