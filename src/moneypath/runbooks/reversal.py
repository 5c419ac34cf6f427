"""The mitigations that are in force, newest last, and what takes each of them back."""

from collections.abc import Iterator
from dataclasses import dataclass

from moneypath.runbooks.model import Step


@dataclass(frozen=True, slots=True, eq=False)
class Reversal:
    """One mitigation in force, or perhaps in force; the step's placeholders are filled.

    Compared by identity: a step that ran twice is in force twice.
    """

    runbook: str
    step: Step
    timeout_seconds: float


class Reversals:
    """A small stack that its owner keeps even when the execution is cancelled.

    A mitigation is entered before its lever is pulled, because a lever that raises may have had
    its effect. It leaves when the lever certainly had none, or when it has been taken back.
    """

    def __init__(self) -> None:
        self._pending: list[Reversal] = []

    def __len__(self) -> int:
        return len(self._pending)

    def newest_first(self) -> Iterator[Reversal]:
        """Yield what is in force, the newest first, from a copy."""
        return iter(self._pending[::-1])

    def enter(self, reversal: Reversal) -> None:
        """Enter a mitigation that is about to be pulled."""
        self._pending.append(reversal)

    def leave(self, reversal: Reversal) -> None:
        """Take out a mitigation that is not in force; unknown ones are ignored."""
        self._pending = [pending for pending in self._pending if pending is not reversal]

    def taken_back_by(self, step: Step) -> Reversal | None:
        """Return the newest mitigation in force whose exact opposite `step` is."""
        for pending in self.newest_first():
            if (pending.step.action, pending.step.undo) == (step.undo, step.action):
                return pending
        return None
