"""What an operator action promises, beside its answer: what has to be so afterwards, and who can say it.

An answer is the word of the service that is being repaired. A promise is looked at from outside: in a
provider's own book, in the ledger, or in what Prometheus recorded.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self


class Witness(StrEnum):
    """Who says whether a promise was kept."""

    PROVIDER_BOOK = "the provider's book"
    LEDGER = "the ledger"
    METRICS = "the metrics"


@dataclass(frozen=True, slots=True)
class Promise:
    """What an action promises: a number that `witness` counts lies between `least` and `most`.

    `title` may hold `{}`, which stands for the action's argument. `until` is the action that ends the
    promise; without one it is for good. `evidence` names what else has to be counted meanwhile, at least
    `least_evidence` of it: without traffic everything keeps away from a drained provider.
    """

    title: str
    witness: Witness
    least: int = 0
    most: int | None = None
    until: str = ""
    evidence: str = ""
    least_evidence: int = 0

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        """Return the promise that `plain` wrote; raises KeyError, TypeError and ValueError."""
        return cls(**{**plain, "witness": Witness(plain["witness"])})

    @property
    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "witness": self.witness.value}

    def kept(self, found: float | None, evidence: float | None) -> bool:
        """Tell whether the promise was kept; what nobody could count was not."""
        if found is None or not math.isfinite(found):
            return False
        if found < self.least or (self.most is not None and found > self.most):
            return False
        return not self.least_evidence or (evidence is not None and evidence >= self.least_evidence)

    @property
    def bounds(self) -> str:
        """Return what is allowed in words."""
        if self.most is None:
            return f"at least {self.least}"
        if self.least == self.most:
            return f"exactly {self.most}"
        return f"from {self.least} to {self.most}" if self.least else f"at most {self.most}"

    def describe(self, argument: str) -> str:
        """Return the promise of an action with `argument` in words."""
        return self.title.format(argument)
