"""Read a runbook file: front matter between two `---`, then sections with steps in ```yaml fences."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from moneypath.path.durations import Duration
from moneypath.path.parts import RoleId
from moneypath.path.source import (
    DeclarationInvalid,
    DeclarationIssue,
    DeclarationIssues,
    Problem,
    parse_yaml,
    read_text,
)
from moneypath.runbooks.expectations import QueryExpectation, action_expectation, query_expectation
from moneypath.runbooks.holding import Declared
from moneypath.runbooks.model import (
    Approval,
    Fence,
    FrontMatter,
    Name,
    Runbook,
    Section,
    Sentence,
    Step,
    StepType,
)

MAX_WITHIN_SECONDS: Final = 3600.0
MAX_STEPS: Final = 50

_KEY: Final = re.compile(r"([a-z_]+):")
_FENCE: Final = re.compile(r"\s*(`{3,}|~{3,})\s*(\S*)")

Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
ActionList = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=8)]


class StepDeclaration(BaseModel):
    """One ```yaml block as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    RENAMED_KEYS: ClassVar[Mapping[str, str]] = {"lever": "action", "learn": "bind", "stays": "irreversible"}

    step: int = Field(ge=1)
    id: Name
    type: StepType
    role: RoleId
    title: Sentence
    query: tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...] | None = Field(
        default=None, description="a list of one PromQL query"
    )
    action: ActionList | None = Field(
        default=None, description="a list: the operator action's name, then its arguments"
    )
    expect: dict[str, Declared]
    within: Duration
    undo: ActionList | None = Field(
        default=None, description="a list: the operator action's name, then its arguments"
    )
    approval: Approval = Approval.NONE
    next: Name | None = None
    otherwise: Name | None = None
    bind: Label | None = Field(default=None, description="a label of the query's samples")
    irreversible: Sentence | None = Field(
        default=None, description="why the operator action is never taken back"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        issues = [*self._action_issues()]
        if not 0 < self.within <= MAX_WITHIN_SECONDS:
            issues.append(DeclarationIssue(("within",), "is out of range", "more than 0s, at most 1h"))
        if not issues:
            try:
                issues.extend(self._hold_issues(self.expectation()))
            except DeclarationIssues as odd:
                issues.extend(odd.issues)
        if issues:
            raise DeclarationIssues(issues)
        return self

    def _action_issues(self) -> Iterable[DeclarationIssue]:
        acts = self.type is StepType.MITIGATE
        wanted, other = ("action", "query") if acts else ("query", "action")
        if getattr(self, other) is not None:
            yield DeclarationIssue((other,), f"does not belong to a {self.type} step", wanted)
        if getattr(self, wanted) is None:
            yield DeclarationIssue((), f"a {self.type} step has no {wanted}", f"{wanted}: [...]")
        if acts and self.action == ():
            yield DeclarationIssue(("action",), "is empty", "the operator action's name, then its arguments")
        if not acts and self.query is not None and len(self.query) != 1:
            yield DeclarationIssue(("query",), f"has {len(self.query)} entries", "a list of one PromQL query")
        if not acts and self.undo is not None:
            yield DeclarationIssue(
                ("undo",), f"a {self.type} step changes nothing", "undo stands with a mitigate step"
            )
        if not acts and self.approval is not Approval.NONE:
            yield DeclarationIssue(("approval",), f"a {self.type} step needs no approval", "none")
        if acts and self.bind is not None:
            yield DeclarationIssue(("bind",), f"a {self.type} step asks nothing", "bind stands with a query")
        if self.irreversible is not None and (self.undo is not None or not acts):
            yield DeclarationIssue(
                ("irreversible",),
                "stands without an operator action, or beside undo",
                "either undo or irreversible",
            )

    def _hold_issues(self, expectation: Any) -> Iterable[DeclarationIssue]:
        hold = expectation.hold if isinstance(expectation, QueryExpectation) else None
        if hold and hold.for_seconds > self.within / 2:
            what = f"takes {hold.for_seconds:g} s of the {self.within:g} s of `within`"
            yield DeclarationIssue(("expect", "for"), what, f"at most half of it, {self.within / 2:g}s")

    def expectation(self) -> Any:
        """Return `expect`, parsed by the grammar for a query or for an operator action."""
        grammar = action_expectation if self.type is StepType.MITIGATE else query_expectation
        return grammar(self.expect)

    def to_step(self, line: int) -> Step:
        """Return the step for the executor."""
        return Step(
            line=line,
            number=self.step,
            id=self.id,
            type=self.type,
            role=self.role,
            title=self.title,
            instruction=self.action or self.query or (),
            expect=self.expectation(),
            within_seconds=self.within,
            undo=self.undo or (),
            approval=self.approval,
            next=self.next or "",
            otherwise=self.otherwise or "",
            bind=self.bind or "",
            irreversible=self.irreversible or "",
        )


@dataclass(slots=True)
class _OpenSection:
    """A section while its lines are being read."""

    title: str
    line: int
    prose: list[tuple[int, str]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    fences: list[Fence] = field(default_factory=list)

    def closed(self) -> Section:
        return Section(self.title, self.line, tuple(self.prose), tuple(self.steps), tuple(self.fences))


def load(file: Path) -> Runbook:
    """Return the runbook in `file`; use `lint` to check its content.

    Raises DeclarationInvalid with `file:line` for every mistake in the front matter and the steps, for a
    fence without an end, and for steps or prose outside of a section.
    """
    lines = read_text(file).splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in (line.strip() for line in lines[1:]):
        what = "does not begin with front matter"
        raise DeclarationInvalid(file, [Problem(1, "", what, "keys between two lines of ---")])
    end = next(n for n, line in enumerate(lines[1:], start=1) if line.strip() == "---")
    problems: list[Problem] = []
    front = None
    try:
        front = parse_yaml("\n".join(lines[1:end]) + "\n", FrontMatter, file=file, first_line=2)
    except DeclarationInvalid as error:
        problems.extend(error.problems)
    sections = _Body(file, problems).read(lines[end + 1 :], first_line=end + 2)
    if front is None or problems:
        raise DeclarationInvalid(file, problems)
    keys = {match[1]: n for n, line in enumerate(lines[1:end], start=2) if (match := _KEY.match(line))}
    return Runbook(file, front, keys, sections)


class _Body:
    """Splits the body into sections, and reads each step at its own line."""

    def __init__(self, file: Path, problems: list[Problem]) -> None:
        self._file, self._problems = file, problems
        self._sections: list[_OpenSection] = []

    def read(self, lines: list[str], *, first_line: int) -> tuple[Section, ...]:
        numbered = iter(enumerate(lines, start=first_line))
        for number, line in numbered:
            fence = _FENCE.match(line)
            if fence:
                block = _until_closed(numbered, fence[1])
                if block is None:
                    self._problems.append(Problem(number, "", "a fence is never closed", fence[1]))
                    break  # whatever follows would be read inside out
                self._fenced(number, fence[2], block)
            elif line.startswith("## "):
                self._sections.append(_OpenSection(line[3:].strip(), number))
            elif self._sections:
                self._sections[-1].prose.append((number, line))
            elif line.strip():
                self._outside(number, "text")
        return tuple(section.closed() for section in self._sections)

    def _fenced(self, number: int, language: str, block: list[str]) -> None:
        if not self._sections:
            self._outside(number, "a fence")
        elif language != "yaml":
            self._sections[-1].fences.append(Fence(number, language))
        elif sum(len(section.steps) for section in self._sections) >= MAX_STEPS:
            self._problems.append(Problem(number, "", f"has more than {MAX_STEPS} steps"))
        else:
            self._step(number, "\n".join(block) + "\n")

    def _step(self, number: int, text: str) -> None:
        try:
            declared = parse_yaml(text, StepDeclaration, file=self._file, first_line=number + 1)
        except DeclarationInvalid as error:
            self._problems.extend(error.problems)
        else:
            self._sections[-1].steps.append(declared.to_step(number + 1))

    def _outside(self, number: int, what: str) -> None:
        self._problems.append(Problem(number, "", f"{what} stands before the first section", "## What it is"))


def _until_closed(numbered: Iterable[tuple[int, str]], mark: str) -> list[str] | None:
    block: list[str] = []
    for _, line in numbered:
        if line.strip() == mark:
            return block
        if line.startswith(mark):
            return None
        block.append(line)
    return None
