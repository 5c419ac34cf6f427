"""The drill file: which faults begin when, what has to happen, who has to act, and how it is scored.

Every duration is production time: the runner divides it by `clock.scale`, and the score multiplies what
it measured by it. Only `guardrails.fault_ttl` is real time.
"""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from moneypath.drills.expected import Expect
from moneypath.drills.parts import SLUG, Condition, ScenarioModel
from moneypath.drills.timeline_entry import FaultParams, TargetKind, TimelineEntry
from moneypath.path.durations import Duration, format_duration
from moneypath.path.parts import RoleId
from moneypath.path.source import DeclarationIssue, DeclarationIssues, load_yaml

FILE_STEM: Final = r"drill-\d{3}-[a-z0-9-]+"
HARM_SHARE_OF_LIFE: Final = 0.8
"""Harm has to be over, and shown to stay over, within this share of the fault's life."""


class Clock(ScenarioModel):
    """The clock of a drill.

    `scale` production seconds pass in a real one; `seed` picks whom a fault hits.
    """

    scale: Annotated[int, Field(ge=1, le=60)]
    seed: Annotated[int, Field(ge=0, le=2**31)]


class Load(ScenarioModel):
    """Checkouts per real second, the number of users, and card ranges with weights, if there are any."""

    checkouts_per_second: Annotated[int, Field(ge=1, le=200)]
    users: Annotated[int, Field(ge=1, le=200)]
    card_ranges: Annotated[
        dict[Annotated[str, Field(pattern=r"^[45]\d{5}$")], Annotated[int, Field(ge=1, le=100)]],
        Field(min_length=1),
    ] = Field(default_factory=dict)


class Guardrails(ScenarioModel):
    """Limits of a drill: its length, the lease of a fault, and conditions that abort it."""

    max_minutes: Annotated[int, Field(ge=1, le=600)]
    fault_ttl: Annotated[Duration, Field(ge=2, le=60)]
    abort_if: tuple[Condition, ...] = ()


class EffectiveWhen(StrEnum):
    """What proves that the fault works: a payment was harmed, or the target says that it hit a request.

    A payment is a customer's or a canary's, whichever was harmed first.

    A fault that no single payment meets, such as a wrong line in a settlement report, needs the second.
    """

    CANARY_HARMED = "canary_harmed"
    TARGET_HIT = "target_hit"


class Responder(ScenarioModel):
    """A scripted person who acknowledges, and may follow the runbook or approve what it asks for."""

    ack_after: Duration
    follows: str | None = None
    approves: bool = False


class Scoring(ScenarioModel):
    """The score that passes, and the weight of each part; weights need not add up to one."""

    pass_at: Annotated[float, Field(gt=0, le=1)]
    weights: Annotated[
        dict[
            Literal["detect", "page", "acknowledge", "mitigate", "restore", "runbook", "quiet"],
            Annotated[float, Field(gt=0, le=10)],
        ],
        Field(min_length=1),
    ]


class Scenario(ScenarioModel):
    """One drill, as `drills/drill-NNN-slug.yaml` writes it."""

    title: Annotated[str, Field(min_length=3, max_length=80)]
    runbook: Annotated[str, Field(pattern=SLUG)]
    objectives: Annotated[tuple[str, ...], Field(min_length=1, max_length=10)]
    mode: Literal["ci"]
    clock: Clock
    load: Load
    steady_state: Annotated[tuple[Condition, ...], Field(min_length=1)]
    guardrails: Guardrails
    timeline: Annotated[tuple[TimelineEntry, ...], Field(min_length=1)]
    effective_when: EffectiveWhen = EffectiveWhen.CANARY_HARMED
    expect: Expect
    responders: dict[RoleId, Responder]
    scoring: Scoring
    controls: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        self._refuse_contradictions()
        return self

    def _refuse_contradictions(self) -> None:
        issues = [*self._timeline_issues(), *self._harm_issues(), *self._people_issues()]
        if issues:
            raise DeclarationIssues(issues)

    def at_scale(self, scale: int) -> Self:
        """Return the same drill at another scale; raises DeclarationIssues when it does not fit."""
        clock = Clock.model_validate({"scale": scale, "seed": self.clock.seed})
        changed = self.model_copy(update={"clock": clock})
        changed._refuse_contradictions()
        return changed

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Return every condition of the drill, wherever it stands."""
        return (*self.steady_state, *self.guardrails.abort_if, self.expect.harm)

    @property
    def card_range(self) -> str:
        """Return the card range that the canary uses: the first one that the first fault hits; "" without.

        When the target reports the effect, it is one that no fault hits, so that the canary stays well.
        """
        if self.effective_when is EffectiveWhen.TARGET_HIT:
            hit = {each for step in self.timeline if step.params for each in step.params.card_ranges}
            usual = tuple(self.load.card_ranges) or ("",)
            return next((each for each in usual if each not in hit), usual[0])
        first = next((step.params for step in self.timeline if step.params), FaultParams())
        return first.card_ranges[0] if first.card_ranges else next(iter(self.load.card_ranges), "")

    @property
    def opening(self) -> tuple[TimelineEntry, ...]:
        """Return the entries that begin at once."""
        return tuple(step for step in self.timeline if step.at == self.timeline[0].at)

    @property
    def effects(self) -> frozenset[int]:
        """Return the HTTP statuses by which a payment shows that a fault of the opening works."""
        return frozenset[int]().union(*(step.effects for step in self.opening))

    @property
    def waits_for_reports(self) -> bool:
        """Whether a fault of this drill is seen only after the provider's next settlement report."""
        return any(step.waits_for_reports for step in self.timeline)

    @property
    def fault_life(self) -> float:
        """Return how many production seconds pass before a fault ends by itself, at most the whole drill."""
        ends = (step.at for step in self.timeline if step.end)
        return min((*ends, self.guardrails.max_minutes * 60.0)) - self.timeline[0].at

    def _harm_issues(self) -> list[DeclarationIssue]:
        harm, hold = self.expect.harm, self.expect.harm.hold
        held = hold.real_seconds(self.clock.scale) * self.clock.scale
        most = self.fault_life * HARM_SHARE_OF_LIFE - held
        if harm.within <= most:
            return []
        what = (
            f"{format_duration(harm.within)} and the {format_duration(held)} for which it has to stay over "
            f"leave too little of the fault's {format_duration(self.fault_life)}: it could end by itself"
        )
        allowed = (
            f"at most {int(most // 60)}m, or a later `end`" if most >= 60 else "a later `end` of the fault"
        )
        return [DeclarationIssue(("expect", "harm", "within"), what, allowed)]

    def _timeline_issues(self) -> list[DeclarationIssue]:
        found: list[DeclarationIssue] = []
        begun: list[str] = []
        if self.effective_when is EffectiveWhen.CANARY_HARMED and not self.effects:
            what = f"{EffectiveWhen.CANARY_HARMED} needs a fault that a payment meets among the first entries"
            found.append(DeclarationIssue(("effective_when",), what, EffectiveWhen.TARGET_HIT))
        if self.effective_when is EffectiveWhen.TARGET_HIT and not any(
            step.target_kind is not TargetKind.TRAFFIC for step in self.opening
        ):
            what = f"{EffectiveWhen.TARGET_HIT} needs a provider's fault among the first entries"
            found.append(DeclarationIssue(("effective_when",), what, EffectiveWhen.CANARY_HARMED))
        for index, step in enumerate(self.timeline):
            if step.id in begun:
                found.append(DeclarationIssue(("timeline", index, "id"), f"{step.id} is used twice"))
            if step.id:
                begun.append(step.id)
            for name in step.end:
                if name not in begun:
                    found.append(
                        DeclarationIssue(
                            ("timeline", index, "end"), f"ends {name}, which has not begun", ", ".join(begun)
                        )
                    )
        return found

    def _people_issues(self) -> list[DeclarationIssue]:
        paged = {page.role for page in self.expect.pages}
        found = [
            DeclarationIssue(
                ("responders", role), "is not among the pages that are expected", ", ".join(sorted(paged))
            )
            for role in self.responders
            if role not in paged
        ]
        followers = [role for role, responder in self.responders.items() if responder.follows]
        if len(followers) != 1:
            found.append(DeclarationIssue(("responders",), "exactly one responder follows the runbook"))
        for role in followers:
            if self.responders[role].approves:
                found.append(
                    DeclarationIssue(("responders", role, "approves"), "whoever acts cannot approve it too")
                )
            if self.responders[role].follows != self.runbook:
                found.append(
                    DeclarationIssue(("responders", role, "follows"), "is another runbook", self.runbook)
                )
        return found


def is_drill_name(stem: str) -> bool:
    """Tell whether a file without its ending is called as a drill, which is its id everywhere."""
    return re.fullmatch(FILE_STEM, stem) is not None


def load_scenario(file: Path) -> Scenario:
    """Read a drill file; raises DeclarationInvalid with every problem's line and key."""
    return load_yaml(file, Scenario)
