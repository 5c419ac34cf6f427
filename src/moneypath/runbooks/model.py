"""The model of a runbook: front matter, nine sections, numbered steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from moneypath.path.durations import Duration
from moneypath.path.parts import RoleId
from moneypath.runbooks.expectations import Expectation, QueryExpectation
from moneypath.runbooks.holding import Hold
from moneypath.runbooks.placeholders import names

STOP_THE_BLEEDING: Final = "Stop the bleeding"
SECTIONS: Final = (
    "What it is",
    "What it costs",
    "Confirm",
    STOP_THE_BLEEDING,
    "Quantify",
    "Decide",
    "Repair",
    "Verify",
    "Escalate",
)
END: Final = "end"
ESCALATE: Final = "escalate"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
Sentence = Annotated[str, Field(min_length=3, max_length=400, pattern=r"^[^\n]*$")]


class Severity(StrEnum):
    """What the triggering alerts do: page at once, or open a ticket."""

    CRITICAL = "critical"
    WARNING = "warning"


class StepType(StrEnum):
    """What a step is for: confirm the fault, act on it, or prove the repair."""

    CHECK = "check"
    MITIGATE = "mitigate"
    VERIFY = "verify"


class Approval(StrEnum):
    """Whether a second person has to agree before an operator action is run, and who asks for it."""

    NONE = "none"
    SECOND_PERSON = "second_person"  # whoever follows the runbook asks first
    IN_SERVICE = "in_service"  # the service holds the action until somebody else has approved it


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RoleAssignment(_Declared):
    """Whether a role is paged, and how soon it has to acknowledge."""

    page: bool
    ack: Duration | None = None


class FirstHourEntry(_Declared):
    """What a role has done `by` a time after the page, and the evidence of it."""

    by: Duration
    role: RoleId
    do: Sentence
    evidence: Sentence


class Communication(_Declared):
    """Whom a role informs, by when and in which words."""

    to: Sentence
    role: RoleId
    by: Duration
    say: Sentence


class RegulatoryQuestion(_Declared):
    """A regime that a role decides about, and the facts to decide on; no legal advice."""

    regime: Name
    role: RoleId
    facts: tuple[Sentence, ...] = Field(min_length=1, max_length=12)


class Review(_Declared):
    """How often the runbook is read through, and when it last was."""

    every_days: int = Field(ge=1, le=366)
    last: date


class FrontMatter(_Declared):
    """The front matter of a runbook file."""

    id: Name
    title: Sentence
    version: int = Field(ge=1)
    owner_role: RoleId
    severity: Severity
    triggers: tuple[str, ...] = Field(min_length=1, max_length=12)
    roles: dict[RoleId, RoleAssignment] = Field(min_length=1)
    first_hour: tuple[FirstHourEntry, ...] = Field(min_length=1, max_length=12)
    do_not: tuple[Sentence, ...] = Field(min_length=1, max_length=8)
    comms: tuple[Communication, ...] = Field(max_length=8)
    regulatory: tuple[RegulatoryQuestion, ...] = Field(max_length=8)
    exit_criteria: tuple[Sentence, ...] = Field(min_length=1, max_length=8)
    drills: tuple[str, ...] = Field(max_length=12)
    review: Review


@dataclass(frozen=True, slots=True)
class Step:
    """One executable step; `instruction` is one PromQL query, or an operator action with its arguments.

    `within_seconds` is production time: how long a query is repeated, or how long an action may take. `next`
    and `otherwise` are a step's id, `end` or `escalate`; by default the following step, and a stop. `bind` is
    a label whose one value in the samples fills the placeholder of that name in later steps, unless the alert
    carries it. `irreversible` says why an action without `undo` is never undone.
    """

    line: int
    number: int
    id: str
    type: StepType
    role: str
    title: str
    instruction: tuple[str, ...]
    expect: Expectation
    within_seconds: float
    undo: tuple[str, ...] = ()
    approval: Approval = Approval.NONE
    next: str = ""
    otherwise: str = ""
    bind: str = ""
    irreversible: str = ""

    @property
    def is_action(self) -> bool:
        """Whether the step runs an operator action, not a query."""
        return self.type is StepType.MITIGATE

    def placeholders(self) -> frozenset[str]:
        """Return every placeholder that needs a value before the step can run."""
        found = frozenset().union(*(names(text) for text in (*self.instruction, *self.undo, self.title)))
        return found | self.expect.placeholders()

    @property
    def hold(self) -> Hold | None:
        """How long the answer has to stay right, None when one answer is enough."""
        return self.expect.hold if isinstance(self.expect, QueryExpectation) else None


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block that is not a step: its language and first line."""

    line: int
    language: str


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, its prose with line numbers and without fences, and its steps."""

    title: str
    line: int
    prose: tuple[tuple[int, str], ...]
    steps: tuple[Step, ...]
    other_fences: tuple[Fence, ...]


@dataclass(frozen=True, slots=True)
class Runbook:
    """One runbook; `lines` maps each key of the front matter to its line."""

    file: Path
    front: FrontMatter
    lines: Mapping[str, int]
    sections: tuple[Section, ...]

    @property
    def id(self) -> str:
        """The runbook's name, to which alerts and drills link."""
        return self.front.id

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in order."""
        return tuple(step for section in self.sections for step in section.steps)
