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


class ContractState(StrEnum):
    """How one thing stands: it holds, it does not, it is not there, or nobody tried."""

    HOLDS = "holds"
    FAILS = "fails"
    MISSING = "missing"
    NOT_TRIED = "not tried"


_FAILED: Final = 1
_INCONCLUSIVE: Final = 3


@dataclass(frozen=True, slots=True)
class ContractFinding:
    """One sentence about one thing."""

    contract: Contract
    state: ContractState
    sentence: str

    @classmethod
    def holds(cls, contract: Contract, sentence: str) -> "ContractFinding":
        """Return that something is as the file says."""
        return cls(contract, ContractState.HOLDS, sentence)

    @classmethod
    def fails(cls, contract: Contract, sentence: str) -> "ContractFinding":
        """Return that something is not as the file says."""
        return cls(contract, ContractState.FAILS, sentence)

    @classmethod
    def missing(cls, contract: Contract, sentence: str) -> "ContractFinding":
        """Return that the file says nothing of something, and what nobody can do without it."""
        return cls(contract, ContractState.MISSING, sentence)

    @classmethod
    def not_tried(cls, contract: Contract, sentence: str) -> "ContractFinding":
        """Return that something was not asked, and why."""
        return cls(contract, ContractState.NOT_TRIED, sentence)


def exit_code(findings: Sequence[ContractFinding]) -> int:
    """Return 0 when all hold, 1 when one fails, 3 when one is missing or was not tried."""
    states = {finding.state for finding in findings}
    if ContractState.FAILS in states:
        return _FAILED
    return 0 if states <= {ContractState.HOLDS} else _INCONCLUSIVE
