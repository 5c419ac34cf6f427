"""The record of an execution: an event at the start and the end of each step, and the outcome."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from moneypath.prometheus import Sample
from moneypath.runbooks.holding import Held
from moneypath.runbooks.model import Approval, StepType
from moneypath.runbooks.pending_undos import PendingUndos

MAX_SAMPLES_KEPT: Final = 100


class EventKind(StrEnum):
    """What a step event reports."""

    STARTED = "started"
    FINISHED = "finished"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"


class Outcome(StrEnum):
    """How one step ended."""

    SATISFIED = "satisfied"
    UNMET = "unmet"  # seen, and not what was expected
    REFUSED = "refused"  # not approved, or the operator action refused: certainly no effect
    ERRORED = "errored"  # not seen, or the operator action's effect is unknown


class Status(StrEnum):
    """How an execution ended."""

    COMPLETED = "completed"  # reached the end of the runbook
    STOPPED = "stopped"  # a step was unmet or refused and leads nowhere, or leads to `escalate`
    FAILED = "failed"  # a step errored and leads nowhere, or the steps went round in circles


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One line of evidence; `at` and `elapsed_seconds` are of the execution's clock.

    `expected` and `seen` are texts of limited length; `samples` are the last answer's, at most 100. `held` is
    how long the answer had been right at the end, for a step that says how long it has to. `next` is where
    the execution goes from here: a step's id, `end` or `escalate`.
    """

    kind: EventKind
    at: float
    runbook: str
    step: str
    number: int
    type: StepType
    role: str
    title: str
    instruction: tuple[str, ...]
    expected: str
    outcome: Outcome | None = None
    seen: str = ""
    reason: str = ""
    samples: tuple[Sample, ...] = ()
    attempts: int = 0
    elapsed_seconds: float = 0.0
    limit_seconds: float = 0.0
    idempotency_key: str = ""
    approval: Approval = Approval.NONE
    approved_by: str = ""
    held: Held | None = None
    next: str = ""

    def payload(self) -> dict[str, Any]:
        """Return the event as JSON values; NaN and infinity become text."""
        samples = [{"labels": dict(s.labels), "value": _number(s.value)} for s in self.samples]
        texts = ("runbook", "step", "role", "title", "expected", "seen", "reason", "next")
        return {
            **{name: getattr(self, name) for name in texts},
            "kind": self.kind.value,
            "number": self.number,
            "type": self.type.value,
            "action": list(self.instruction),
            "outcome": self.outcome.value if self.outcome else None,
            "samples": samples,
            "attempts": self.attempts,
            "elapsed_seconds": round(self.elapsed_seconds, 3),
            "limit_seconds": round(self.limit_seconds, 3),
            "idempotency_key": self.idempotency_key,
            "approval": self.approval.value,
            "approved_by": self.approved_by,
            "held": None if self.held is None else _held(self.held),
        }


@dataclass(frozen=True, slots=True)
class Execution:
    """The result of an execution: every step that ran, in order, and the mitigations still in force.

    `undo` empties `pending_undos`.
    """

    runbook: str
    status: Status
    reason: str
    steps: tuple[StepEvent, ...]
    pending_undos: PendingUndos = field(repr=False)

    def outcomes(self) -> Sequence[tuple[str, Outcome | None]]:
        """Return each executed step's id and outcome."""
        return [(event.step, event.outcome) for event in self.steps]


def _held(held: Held) -> dict[str, float]:
    return {"seconds": round(held.seconds, 3), "events": round(held.events, 3)}


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
