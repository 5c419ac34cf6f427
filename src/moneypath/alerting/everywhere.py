"""What fails at every provider at once is no provider's failure, and its alert names none.

A bug of the service's own, or a network that is ours, fails at all providers at once. Their alerts would
have somebody drain one after the other. So one alert without a provider takes their place, as for what fails
before a provider is chosen.
"""

from fractions import Fraction

from moneypath.alerting.conventions import ROUTING
from moneypath.alerting.recorded import RecordedWindow, kept_apart_by
from moneypath.alerting.rules import Expr, RecordingRule, count, expr, fixed
from moneypath.path.objectives import Slo
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER

# A provider is unwell above so much of the alert's limit: two that fail by one cause do not pass it at one
# instant, and one that is a little bad at all times is no part of another one's outage.
UNWELL = Fraction(4, 5)
# Of so many providers, so many bad events each: a stray failure beside an outage is no common cause.
LEAST_PROVIDERS = 2
LEAST_BAD = 3

DRAINED = expr(f"max by (provider) ({ROUTING}) == ", fixed(0, "drained"))


def routed(slo: Slo, condition: Expr, indent: int) -> Expr:
    """Leave drained providers out of `condition`, if providers are kept apart."""
    by = kept_apart_by(slo)
    return expr(condition, f"\n{' ' * indent}unless on ({by}) ", DRAINED) if by else condition


def recording(slo: Slo, seen: RecordedWindow, limit: Fraction) -> RecordingRule:
    """Return the rule that exists while no provider that is routed to and has traffic is well.

    Its value is the least of their bad shares. `limit` is that of the alert. A provider with a few events
    that are good denies it; one with a few that are bad does not.
    """
    of_providers = f'{{{kept_apart_by(slo)}!="{NO_PROVIDER}"}}'
    shares = routed(slo, expr(f"{seen.ratio}{of_providers}"), 2)
    bad = routed(slo, expr(f"{seen.bad}{of_providers} >= ", count(LEAST_BAD, "least_bad")), 2)
    return RecordingRule(
        seen.everywhere,
        expr(
            "min(\n  ", shares, "\n) > ", fixed(limit * UNWELL, "unwell"),
            "\nand on () count(\n  ", bad, "\n) >= ", count(LEAST_PROVIDERS, "least_providers"),
        ),
    )  # fmt: skip


def as_ours(slo: Slo, seen: RecordedWindow, condition: Expr, alert: Expr) -> Expr:
    """Let one alert without a provider take the place of all while no provider is well.

    `condition` is what begins the alert, `alert` the same held until it has recovered. What was named before
    gives way, too, but for a drained provider, whose alert waits for evidence.
    """
    by = kept_apart_by(slo)
    if not by:
        return alert
    named = routed(slo, expr(f'{seen.valid}{{{by}!="{NO_PROVIDER}"}} and on () {seen.everywhere}'), 2)
    return expr(
        "(\n",
        alert,
        f"\n)\nunless on ({by}) (\n  ",
        named,
        f"\n)\nor label_replace(\n  {seen.everywhere} and on () (\n  ",
        condition,
        f'\n  ), "{by}", "{NO_PROVIDER}", "", ""\n)',
    )
