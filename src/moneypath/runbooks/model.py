"""What a runbook is: front matter, nine sections, numbered steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from moneypath.path.durations import Duration
from moneypath.runbooks.expectations import Expectation, LeverExpectation
from moneypath.runbooks.placeholders import names

SECTIONS: Final = (
    "What it is",
    "What it costs",
    "Confirm",
    "Stop the bleeding",
    "Quantify",
    "Decide",
    "Repair",
    "Verify",
    "Escalate",
)
END: Final = "end"
ESCALATE: Final = "escalate"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
Role = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Sentence = Annotated[str, Field(min_length=3, max_length=400, pattern=r"^[^\n]*$")]


class Severity(StrEnum):
    """What the triggering alerts do: page at once, or open a ticket."""

    CRITICAL = "critical"
    WARNING = "warning"


class StepType(StrEnum):
    """What a step is for: see the fault, act on it, prove the repair."""

    CHECK = "check"
    MITIGATE = "mitigate"
    VERIFY = "verify"


class Approval(StrEnum):
    """Whether somebody else must agree before a lever is pulled."""

    NONE = "none"
    SECOND_PERSON = "second_person"


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RoleDuty(_Declared):
    """Whether a role is paged, and how soon it acknowledges."""

    page: bool
    ack: Duration | None = None


class FirstHourEntry(_Declared):
    """What a role has done `by` a time after the page, and what proves it."""

    by: Duration
    role: Role
    do: Sentence
    evidence: Sentence


class Communication(_Declared):
    """Whom a role tells, when and what."""

    to: Sentence
    role: Role
    by: Duration
    say: Sentence


class RegulatoryQuestion(_Declared):
    """Which regime a role decides about, and the facts it is given; no legal advice."""

    regime: Name
    role: Role
    facts: tuple[Sentence, ...] = Field(min_length=1, max_length=12)


class Review(_Declared):
    """How often the page is read through, and when it last was."""

    every_days: int = Field(ge=1, le=366)
    last: date


class FrontMatter(_Declared):
    """The head of a runbook file."""

    id: Name
    title: Sentence
    version: int = Field(ge=1)
    owner_role: Role
    severity: Severity
    triggers: tuple[str, ...] = Field(min_length=1, max_length=12)
    roles: dict[Role, RoleDuty] = Field(min_length=1)
    first_hour: tuple[FirstHourEntry, ...] = Field(min_length=1, max_length=12)
    do_not: tuple[Sentence, ...] = Field(min_length=1, max_length=8)
    comms: tuple[Communication, ...] = Field(max_length=8)
    regulatory: tuple[RegulatoryQuestion, ...] = Field(max_length=8)
    exit_criteria: tuple[Sentence, ...] = Field(min_length=1, max_length=8)
    drills: tuple[str, ...] = Field(max_length=12)
    review: Review


@dataclass(frozen=True, slots=True)
class Step:
    """One executable step; `action` is one PromQL query, or a lever's name and arguments.

    `within_seconds` is unscaled: how long a query is asked again, or a lever may take. `next` and
    `otherwise` are a step's id, `end` or `escalate`; without them the following step, or a stop.
    `learn` is a label whose one value in the query's samples fills the placeholder of that name from
    here on, unless the alert carries it. `stays` says why a lever without `undo` is never taken back.
    """

    line: int
    number: int
    id: str
    type: StepType
    role: str
    title: str
    action: tuple[str, ...]
    expect: Expectation
    within_seconds: float
    undo: tuple[str, ...] = ()
    approval: Approval = Approval.NONE
    next: str = ""
    otherwise: str = ""
    learn: str = ""
    stays: str = ""

    @property
    def pulls_lever(self) -> bool:
        """Whether the step acts rather than asks."""
        return self.type is StepType.MITIGATE

    def placeholders(self) -> frozenset[str]:
        """Return every placeholder that must have a value before the step can run."""
        found = frozenset().union(*(names(text) for text in (*self.action, *self.undo, self.title)))
        return found | self.expect.placeholders() if isinstance(self.expect, LeverExpectation) else found


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block that is no step: its language and first line."""

    line: int
    language: str


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its prose (fences taken out, each line with its number) and its steps."""

    title: str
    line: int
    prose: tuple[tuple[int, str], ...]
    steps: tuple[Step, ...]
    other_fences: tuple[Fence, ...]


@dataclass(frozen=True, slots=True)
class Runbook:
    """One page; `lines` says where each key of the front matter stands."""

    file: Path
    front: FrontMatter
    lines: Mapping[str, int]
    sections: tuple[Section, ...]

    @property
    def id(self) -> str:
        """The page's name, as alerts and drills link to it."""
        return self.front.id

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in the order of the page."""
        return tuple(step for section in self.sections for step in section.steps)
