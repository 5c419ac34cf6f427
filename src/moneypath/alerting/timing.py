"""The intervals of Prometheus and Alertmanager, and the scale by which time may be shortened."""

from dataclasses import dataclass
from fractions import Fraction

from moneypath.alerting.errors import ScaleInvalid
from moneypath.alerting.rules import LiteralKind, RuleLiteral

MAX_FACTOR = 60
# A window needs at least four scrapes; live scrapes are a second apart.
FLOOR_SECONDS = 5
# Prometheus evaluates rules from its start on, and asks its first target up to 5 s and an interval later; a
# rate needs two scrapes. No scale shortens that, and what is absent until then must not page.
HOLD_FLOOR_SECONDS = 10
_FLOORS = {
    LiteralKind.WINDOW: FLOOR_SECONDS,
    LiteralKind.AGE: FLOOR_SECONDS,
    LiteralKind.HOLD: HOLD_FLOOR_SECONDS,
}


@dataclass(frozen=True, slots=True)
class Timing:
    """The intervals that Prometheus and Alertmanager are set to together with the rules, in seconds.

    `lookback` is how long a series without a new sample still counts as present. `resend_delay` and
    `for_grace` are Prometheus' own times for sending an alert again and for resuming a `for`.
    """

    scrape_seconds: Fraction
    evaluation_seconds: Fraction
    group_wait_seconds: Fraction
    group_interval_seconds: Fraction
    repeat_interval_seconds: Fraction
    heartbeat_seconds: Fraction
    lookback_seconds: Fraction
    resend_delay_seconds: Fraction
    for_grace_seconds: Fraction

    @property
    def delay_seconds(self) -> Fraction:
        """Return the worst case from a sample to a page: a scrape, two evaluations and the group wait."""
        return self.scrape_seconds + 2 * self.evaluation_seconds + self.group_wait_seconds

    @property
    def hanging_scrape_seconds(self) -> Fraction:
        """Return how long a scrape that is never answered takes to count as failed: a whole interval."""
        return self.scrape_seconds


PRODUCTION = Timing(
    scrape_seconds=Fraction(5),
    evaluation_seconds=Fraction(5),
    group_wait_seconds=Fraction(0),
    group_interval_seconds=Fraction(10),
    repeat_interval_seconds=Fraction(4 * 3600),
    heartbeat_seconds=Fraction(60),
    lookback_seconds=Fraction(300),
    resend_delay_seconds=Fraction(60),
    for_grace_seconds=Fraction(600),
)
LIVE = Timing(
    scrape_seconds=Fraction(1),
    evaluation_seconds=Fraction(1),
    group_wait_seconds=Fraction(0),
    group_interval_seconds=Fraction(1, 2),
    repeat_interval_seconds=Fraction(4 * 3600, 60),
    heartbeat_seconds=Fraction(1),
    # Not 5 s: one late scrape on a busy machine must not make every gauge vanish.
    lookback_seconds=Fraction(10),
    resend_delay_seconds=Fraction(1),
    for_grace_seconds=Fraction(1),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """A time scale: windows, holds and ages shrink by `factor`; counts and thresholds stay.

    A factor of 1 is production. A shortened time is never under 5 s, because a window needs at least four
    scrapes, and a hold never under 10 s. Counts stay because the events themselves are real.
    """

    factor: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.factor <= MAX_FACTOR:
            raise ScaleInvalid(
                f"The scale {self.factor} is out of range.",
                hint=f"Use 1 to {MAX_FACTOR}; with scrapes of 1 s a shorter window holds too few samples.",
            )

    @property
    def timing(self) -> Timing:
        """Return the intervals that belong to this scale."""
        return PRODUCTION if self.factor == 1 else LIVE

    def apply(self, literal: RuleLiteral) -> Fraction:
        """Return the value of `literal` at this scale."""
        floor = _FLOORS.get(literal.kind)
        if self.factor == 1 or floor is None:
            return literal.value
        return max(literal.value / self.factor, min(literal.value, Fraction(floor)))

    def clamps(self, literal: RuleLiteral) -> bool:
        """Tell whether the minimum keeps `literal` longer than the scale asks for."""
        return literal.kind in _FLOORS and self.apply(literal) * self.factor != literal.value
