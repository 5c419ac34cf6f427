"""What fails at every provider alike is no provider's failure, and its alert names none.

A bug of the service's own, or a network that is ours, fails at all providers at once. Their alerts would
have somebody drain one after the other. So one alert without a provider takes their place, as for what fails
before a provider is chosen.
"""

from fractions import Fraction

from moneypath.alerting.conventions import ROUTING
from moneypath.alerting.recorded import RecordedWindow, kept_apart_by
from moneypath.alerting.rules import Expr, RecordingRule, RuleLiteral, count, expr, fixed
from moneypath.path.objectives import Slo
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER

# Alike is what differs by less than this factor: two providers that fail by one cause do not fail equally
# often, and a stray failure of one beside an outage of the other is no common cause.
ALIKE = Fraction(1, 2)
LEAST_PROVIDERS = 2

_DRAINED = expr(f"max by (provider) ({ROUTING}) == ", fixed(0, "drained"))


def routed(slo: Slo, condition: Expr, indent: int) -> Expr:
    """Leave drained providers out of `condition`, if providers are kept apart."""
    by = kept_apart_by(slo)
    return expr(condition, f"\n{' ' * indent}unless on ({by}) ", _DRAINED) if by else condition


def recording(slo: Slo, seen: RecordedWindow, enough: RuleLiteral) -> RecordingRule:
    """Return the rule that exists while providers with enough events, at least two of them, fail alike.

    Its value is the least of their bad shares; without any failure it does not exist.
    """
    by = kept_apart_by(slo)
    any_provider = f'{{{by}!="{NO_PROVIDER}"}}'
    shares = routed(slo, expr(f"{seen.ratio}{any_provider} and on ({by}) {seen.valid} >= ", enough), 2)
    return RecordingRule(
        seen.everywhere,
        expr(
            "min(\n  ", shares, "\n) > ", fixed(ALIKE, "alike"), " * max(\n  ", shares,
            "\n) and on () count(\n  ", shares, "\n) >= ", count(LEAST_PROVIDERS, "least_providers"),
        ),
    )  # fmt: skip


def as_ours(slo: Slo, seen: RecordedWindow, condition: Expr) -> Expr:
    """Let one alert without a provider take the place of all while providers fail alike."""
    by = kept_apart_by(slo)
    if not by:
        return condition
    return expr(
        condition,
        f"\n  unless on () {seen.everywhere}\n  or label_replace(\n    {seen.everywhere} and on () (\n  ",
        condition,
        f'\n    ), "{by}", "{NO_PROVIDER}", "", "")',
    )


def recovered(slo: Slo, seen: RecordedWindow, condition: Expr, limit: RuleLiteral) -> Expr:
    """Let the alert without a provider end only once the whole path is well, and never a drained one's."""
    by = kept_apart_by(slo)
    if not by:
        return condition
    return expr(
        routed(slo, condition, 4),
        f"\n    unless on ({by}) label_replace({seen.whole_ratio} > ",
        limit,
        f', "{by}", "{NO_PROVIDER}", "", "")',
    )
