"""What the conformance check found out about one thing that a target's file says."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Contract(StrEnum):
    """The six contracts, in the order in which they are asked."""

    LOOK = "where to look"
    CANARY = "canary"
    LOAD = "load"
    FAULTS = "faults"
    ACTIONS = "operator actions"
    WITNESSES = "witnesses"


class Verdict(StrEnum):
    """How one thing stands: it holds, it does not, it is not there, or nobody tried."""

    HOLDS = "holds"
    FAILS = "fails"
    MISSING = "missing"
    NOT_TRIED = "not tried"


_FAILED: Final = 1
_INCONCLUSIVE: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one thing."""

    contract: Contract
    verdict: Verdict
    sentence: str

    @classmethod
    def holds(cls, contract: Contract, sentence: str) -> "Finding":
        """Return that something is as the file says."""
        return cls(contract, Verdict.HOLDS, sentence)

    @classmethod
    def fails(cls, contract: Contract, sentence: str) -> "Finding":
        """Return that something is not as the file says."""
        return cls(contract, Verdict.FAILS, sentence)

    @classmethod
    def missing(cls, contract: Contract, sentence: str) -> "Finding":
        """Return that the file says nothing of something, and what nobody can do without it."""
        return cls(contract, Verdict.MISSING, sentence)

    @classmethod
    def not_tried(cls, contract: Contract, sentence: str) -> "Finding":
        """Return that something was not asked, and why."""
        return cls(contract, Verdict.NOT_TRIED, sentence)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 0 when all hold, 1 when one fails, 3 when one is missing or was not tried."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.FAILS in verdicts:
        return _FAILED
    return 0 if verdicts <= {Verdict.HOLDS} else _INCONCLUSIVE
