"""What a criterion observed, and the result that it gives its measure."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from moneypath.capacity.figures import Figures
from moneypath.capacity.gate_file import DeclaredObjectives, Gate


class CriterionStatus(StrEnum):
    """The status of a measure.

    An unknown measure fails the gate. An unmeasured one is unknown too, but the gate file makes it optional.
    An inconclusive one was measured in a way that proves nothing of the build: it neither passes nor fails.
    """

    MET = "met"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    UNMEASURED = "unmeasured"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """The result of a measure, by its name: what was seen, what is allowed, details of one line each."""

    measure: str
    status: CriterionStatus
    seen: str
    allowed: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """What a criterion saw, whether or not its measure is required; `holds` is None when it is unknown.

    If `inconclusive`, what was measured proves nothing of the build.
    """

    holds: bool | None
    seen: str
    allowed: str
    details: tuple[str, ...] = ()
    inconclusive: bool = False


Criterion = Callable[[Figures, Gate, DeclaredObjectives], Observation]
NOT_READ: Final = "could not be read"
NOTHING: Final = "nothing was counted"
