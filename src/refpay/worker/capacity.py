"""Charges provisioned capacity for the time that passes, busy or idle."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from refpay.clock import Clock
from refpay.costs import Provisioned
from refpay.measures import Measures

_SECONDS_AN_HOUR: Final = 3600


class CapacityMeter:
    """Charges price times time since it was made, rounded down to whole micro-units.

    Each charge is what is due in all less what was charged, so nothing drifts however unevenly it is called,
    and a worker that stood still charges for that time once it goes on. The time between the end of one
    process and the start of the next is charged by neither: a worker charges for what it saw.
    """

    def __init__(self, provisioned: Sequence[Provisioned], *, measures: Measures, clock: Clock) -> None:
        self._measures = measures
        self._clock = clock
        self._begun = Fraction(clock.monotonic())
        self._prices: dict[str, int] = {}
        for one in provisioned:
            self._prices[one.component] = self._prices.get(one.component, 0) + one.micro_units_per_hour
        self._charged = dict.fromkeys(self._prices, 0)

    def charge(self) -> None:
        """Count what has become due since the last call."""
        hours = (Fraction(self._clock.monotonic()) - self._begun) / _SECONDS_AN_HOUR
        for component, price in self._prices.items():
            due = int(price * hours)
            # Even from a clock that ran backwards the counter never does.
            if due > self._charged[component]:
                self._measures.count_capacity(component=component, micro_units=due - self._charged[component])
                self._charged[component] = due
