"""The context of an execution: the alert, the approver and the scale of time."""

import math
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from moneypath.runbooks.holding import Hold
from moneypath.runbooks.model import Step
from moneypath.runbooks.ports import ActionCall

Approve: TypeAlias = Callable[[Step], Awaitable[str | None]]


def new_idempotency_key() -> str:
    """Return a fresh idempotency key."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """What stays the same during one execution.

    `labels` are the alert's and fill the placeholders. `scale` divides each `within`, but never below
    `floor_seconds`, because a scaled window still needs its scrapes. `incident` goes into the service's
    audit. `approve` returns the principal of the second person, or None for a refusal.
    """

    labels: Mapping[str, str]
    scale: float = 1.0
    incident: str = "unnamed"
    floor_seconds: float = 10.0
    approve: Approve | None = None
    mint: Callable[[], str] = new_idempotency_key

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0 and self.floor_seconds > 0):
            raise ValueError("scale and floor_seconds are numbers above 0")

    def limit(self, within_seconds: float) -> float:
        """Return how many real seconds a step with `within_seconds` may take."""
        return max(within_seconds / self.scale, min(within_seconds, self.floor_seconds))

    def hold_seconds(self, hold: Hold) -> float:
        """Return for how many real seconds an answer has to stay right."""
        return hold.real_seconds(self.scale)

    def call(self, action: tuple[str, ...], step: Step, seconds: float, purpose: str) -> ActionCall:
        """Return a call of `action` with an idempotency key of its own.

        The action gets a little less than `seconds`, so that it can still report why it gave up.
        """
        reason = f"incident {self.incident}: {purpose} {step.number} {step.id}"
        return ActionCall(action[0], action[1:], self.mint(), reason, seconds * 0.95)
