"""Which alert a page is followed for, with whose hands, and how fast its time runs."""

import math
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from moneypath.runbooks.model import Step
from moneypath.runbooks.ports import LeverCall

Approve: TypeAlias = Callable[[Step], Awaitable[str | None]]


def mint_key() -> str:
    """Return a fresh idempotency key."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """What stays the same during one execution.

    `labels` are the alert's and fill the placeholders. `scale` divides each `within`, but never
    takes it below `floor_seconds`, because a scaled window still needs its scrapes. `incident` goes
    into the service's audit. `approve` returns the principal of the second person, or None for no.
    """

    labels: Mapping[str, str]
    scale: float = 1.0
    incident: str = "unnamed"
    floor_seconds: float = 10.0
    approve: Approve | None = None
    mint: Callable[[], str] = mint_key

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0 and self.floor_seconds > 0):
            raise ValueError("scale and floor_seconds are numbers above 0")

    def limit(self, within_seconds: float) -> float:
        """Return how many real seconds `within_seconds` of a page may take."""
        return max(within_seconds / self.scale, min(within_seconds, self.floor_seconds))

    def call(self, lever: tuple[str, ...], step: Step, seconds: float, purpose: str) -> LeverCall:
        """Return one pull of `lever` with a key of its own.

        The lever gets a little less than `seconds`, so that it can still say why it gave up.
        """
        reason = f"incident {self.incident}: {purpose} {step.number} {step.id}"
        return LeverCall(lever[0], lever[1:], self.mint(), reason, seconds * 0.95)
