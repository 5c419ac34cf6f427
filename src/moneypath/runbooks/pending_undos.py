"""The mitigations in force, and how each is undone."""

from collections.abc import Iterator
from dataclasses import dataclass

from moneypath.runbooks.model import Step


@dataclass(frozen=True, slots=True, eq=False)
class PendingUndo:
    """One mitigation that is, or may be, in force; the step's placeholders are filled.

    Compared by identity: a step that ran twice is in force twice.
    """

    runbook: str
    step: Step
    timeout_seconds: float


class PendingUndos:
    """A stack of mitigations that outlives a cancelled execution.

    A mitigation is added before its action runs, because an action that raises may have had its effect. It is
    removed when the action certainly had none, or when it has been undone.
    """

    def __init__(self) -> None:
        self._pending: list[PendingUndo] = []

    def __len__(self) -> int:
        return len(self._pending)

    def newest_first(self) -> Iterator[PendingUndo]:
        """Return the mitigations in force, the newest first, as a copy."""
        return iter(self._pending[::-1])

    def add(self, pending_undo: PendingUndo) -> None:
        """Add a mitigation whose action is about to run."""
        self._pending.append(pending_undo)

    def remove(self, pending_undo: PendingUndo) -> None:
        """Remove a mitigation that is not in force; an unknown one is ignored."""
        self._pending = [pending for pending in self._pending if pending is not pending_undo]

    def undone_by(self, step: Step) -> PendingUndo | None:
        """Return the newest mitigation in force that `step` undoes exactly."""
        for pending in self.newest_first():
            if (pending.step.instruction, pending.step.undo) == (step.undo, step.instruction):
                return pending
        return None
