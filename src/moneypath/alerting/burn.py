"""Burn-rate tiers, their thresholds, and how long they take to detect an outage."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from moneypath.alerting.errors import AlertImpossible
from moneypath.alerting.rules import decimal_text
from moneypath.path.objectives import Objective, TierId

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Tier:
    """A burn-rate alert: it fires when `budget` of the period's errors would be gone in `long_seconds`.

    Both windows must be over the threshold, so the alert ends soon after the errors do.
    """

    id: TierId
    budget: Fraction
    long_seconds: int
    short_seconds: int

    def factor(self, window_days: int) -> Fraction:
        """Return the burn rate at which the tier pages: budget share x period / long window."""
        return self.budget * window_days * DAY / self.long_seconds


TIERS: Mapping[TierId, Tier] = {
    TierId.FAST: Tier(TierId.FAST, Fraction(2, 100), 3600, 300),
    TierId.SLOW: Tier(TierId.SLOW, Fraction(5, 100), 6 * 3600, 1800),
}


def threshold(slo: Objective, tier: Tier) -> Fraction:
    """Return the error ratio above which `tier` fires; raise AlertImpossible if no ratio can be."""
    factor = tier.factor(slo.window_days)
    ratio = factor * (1 - Fraction(slo.objective))
    if ratio >= 1:
        least = decimal_text(1 - 1 / factor)
        raise AlertImpossible(
            f"slos[{slo.id}].burn.tiers: the {tier.id} tier can never fire at an objective of "
            f"{slo.objective}, not even when everything fails",
            hint=f"Use an objective above {least} (1 - 1/{decimal_text(factor)}), or leave the tier out.",
        )
    return ratio


def window_seconds(ratio_threshold: Fraction, seconds: Fraction, error_ratio: Fraction) -> Fraction:
    """Return how long errors of `error_ratio` take to lift the mean of a healthy window to the threshold.

    With steady traffic that is threshold x window / error ratio. Raises AlertImpossible if the errors never
    reach the threshold.
    """
    if error_ratio <= ratio_threshold:
        raise AlertImpossible(
            f"an error ratio of {decimal_text(error_ratio)} never passes the threshold "
            f"{decimal_text(ratio_threshold)}",
            hint="Ask for the detection of a higher error ratio.",
        )
    return ratio_threshold * seconds / error_ratio
