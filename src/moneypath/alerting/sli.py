"""The recorded series of an availability objective: valid events, bad events and their ratio.

Live traffic only. Technical declines count as bad, but stand as plain `declined` among the
payments, and the series that tells them apart has no traffic label. So they are capped at the
live declines: the canary's technical declines alone can never page, and the ratio never passes 1.
With canaries running they may count for as many ordinary live declines, which errs towards a page.

Payments that failed before a provider was chosen carry the provider `none`. Nothing ever
succeeds there, so they are set against all valid payments: their ratio is their share of everything.
"""

from dataclasses import dataclass

from moneypath.alerting.burn import TIERS
from moneypath.alerting.leaf import Expr, Leaf, Recording, duration_text, expr, fixed, window
from moneypath.path.objectives import AvailabilitySlo
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, Operation, Outcome, Traffic

HARD_DOWN_SECONDS = 60
TRAFFIC_SECONDS = 300

PAYMENTS = "moneypath_payments_total"
RESULTS = "moneypath_authorization_results_total"

NOUNS = {
    Operation.AUTHORIZE: "authorization",
    Operation.CAPTURE: "capture",
    Operation.VOID: "void",
    Operation.REFUND: "refund",
    Operation.PAYOUT: "payout",
    Operation.QUERY: "query",
}


def noun(slo: AvailabilitySlo) -> str:
    """Return the operation of `slo` as a noun, as it stands in names."""
    return NOUNS[slo.operation]


@dataclass(frozen=True, slots=True)
class Recorded:
    """The names of what is recorded of one objective over one window; they keep the unscaled window."""

    slo: AvailabilitySlo
    span: Leaf

    def _name(self, quality: str, operation: str) -> str:
        return f"{self.slo.per}:{noun(self.slo)}_{quality}:{operation}{duration_text(self.span.value)}"

    @property
    def valid(self) -> str:
        """Return the series of valid events in the window."""
        return self._name("valid", "increase")

    @property
    def bad(self) -> str:
        """Return the series of bad events in the window."""
        return self._name("bad", "increase")

    @property
    def ratio(self) -> str:
        """Return the series of the share of bad among valid events; absent without valid events."""
        return self._name("bad", "ratio_rate")

    @property
    def whole_ratio(self) -> str:
        """Return the series of the same share over the whole path, without labels."""
        return f"path:{noun(self.slo)}_bad:ratio_rate{duration_text(self.span.value)}"


def recorded(slo: AvailabilitySlo, seconds: int) -> Recorded:
    """Return the names for the window of `seconds`."""
    return Recorded(slo, window(seconds, f"window_{seconds}"))


def windows(slo: AvailabilitySlo) -> tuple[int, ...]:
    """Return every window, in seconds, that the alerts of `slo` look at, shortest first."""
    seconds = {TRAFFIC_SECONDS}
    if slo.hard_down:
        seconds.add(HARD_DOWN_SECONDS)
    for tier in slo.burn.tiers:
        seconds |= {TIERS[tier].long_seconds, TIERS[tier].short_seconds}
    return tuple(sorted(seconds))


def recordings(slo: AvailabilitySlo) -> tuple[Recording, ...]:
    """Return the recording rules of `slo`, ordered so that each finds what it reads."""
    rules: list[Recording] = []
    for seconds in windows(slo):
        names = recorded(slo, seconds)
        none = {"provider": NO_PROVIDER}
        rules += [
            Recording(names.valid, _valid(slo, names.span)),
            Recording(names.valid, _increase("sum", slo, names.span, *_outcomes(slo)), none),
            Recording(names.bad, _bad(slo, names)),
            Recording(names.bad, _increase("sum", slo, names.span, _NOBODY, _one_of(slo.bad_outcomes)), none),
            Recording(names.ratio, expr(f"{names.bad} / ({names.valid} > ", fixed(0, "zero"), ")")),
            Recording(
                names.whole_ratio, expr(f"sum({names.bad}) / (sum({names.valid}) > ", fixed(0, "zero"), ")")
            ),
        ]
    return tuple(rules)


_SOMEBODY = f'provider!="{NO_PROVIDER}"'
_NOBODY = f'provider="{NO_PROVIDER}"'


def _valid(slo: AvailabilitySlo, span: Leaf) -> Expr:
    return _increase("sum by (provider)", slo, span, _SOMEBODY, *_outcomes(slo))


def _bad(slo: AvailabilitySlo, names: Recorded) -> Expr:
    span = names.span
    # Without any series of bad outcomes there are none, as long as there are valid events.
    nothing = expr(f"{names.valid}{{{_SOMEBODY}}} * ", fixed(0, "zero"))
    failed = _increase("sum by (provider)", slo, span, _SOMEBODY, _one_of(slo.bad_outcomes))
    failed = expr("(\n  ", failed, "\n  or ", nothing, "\n)")
    if not slo.bad_results:
        return failed
    declined = _increase("sum by (provider)", slo, span, _SOMEBODY, _one_of((Outcome.DECLINED,)))
    results = "|".join(slo.bad_results)
    technical = expr(f'sum by (provider) (increase({RESULTS}{{result=~"{results}"}}[', span, "]))")
    lesser = expr(
        technical, "\n  <= ", declined, "\n  or ", declined, "\n  < ", technical, "\n  or ", nothing
    )
    return expr(failed, "\n+ (\n  ", lesser, "\n)")


def _increase(aggregate: str, slo: AvailabilitySlo, span: Leaf, *matchers: str) -> Expr:
    chosen = ", ".join((f'operation="{slo.operation}"', f'traffic="{Traffic.LIVE}"', *matchers))
    return expr(f"{aggregate} (increase({PAYMENTS}{{{chosen}}}[", span, "]))")


def _outcomes(slo: AvailabilitySlo) -> tuple[str, ...]:
    return (f'outcome!~"{"|".join(slo.excluded_outcomes)}"',) if slo.excluded_outcomes else ()


def _one_of(outcomes: tuple[Outcome, ...]) -> str:
    return f'outcome="{outcomes[0]}"' if len(outcomes) == 1 else f'outcome=~"{"|".join(outcomes)}"'
