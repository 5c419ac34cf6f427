"""The drill file: what is broken, what must happen, who must act, and what a pass is worth.

Every duration is production time; the runner divides waiting by `clock.scale` and the score
multiplies what it measured by it. `guardrails.fault_ttl` alone is real time: a lease is a lease.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from moneypath.drills.parts import SLUG, Condition, Part
from moneypath.drills.steps import FaultParams, Step, TargetKind
from moneypath.path.durations import Duration
from moneypath.path.source import Misfit, Misfits, load_yaml

FILE_STEM: Final = r"drill-\d{3}-[a-z0-9-]+"


class Clock(Part):
    """`scale` production seconds pass in one real second; `seed` decides whom a fault hits."""

    scale: Annotated[int, Field(ge=1, le=60)]
    seed: Annotated[int, Field(ge=0, le=2**31)]


class Load(Part):
    """Checkouts a real second, by how many users, over which card ranges (range: weight)."""

    checkouts_per_second: Annotated[int, Field(ge=1, le=200)]
    users: Annotated[int, Field(ge=1, le=200)]
    card_ranges: Annotated[
        dict[Annotated[str, Field(pattern=r"^[45]\d{5}$")], Annotated[int, Field(ge=1, le=100)]],
        Field(min_length=1),
    ]


class Guardrails(Part):
    """Bounds that no drill may cross: its length, a fault's lease, and conditions that abort it."""

    max_minutes: Annotated[int, Field(ge=1, le=600)]
    fault_ttl: Annotated[Duration, Field(ge=2, le=60)]
    abort_if: tuple[Condition, ...] = ()


class ExpectedAlert(Part):
    """An alert that must fire, with labels that must match, `within` of the fault taking effect."""

    name: str
    within: Duration
    severity: Literal["critical", "warning"]
    labels: dict[str, str] = Field(default_factory=dict)


class ExpectedPage(Part):
    """A role that must hear of it `within` of the effect and acknowledge within `ack` of the page."""

    role: str
    within: Duration
    ack: Duration


class Harm(Condition):
    """Whom it harms: `expect` holds while all is well; back again `within` of the effect.

    `title` says what the query counts, and `unit` how people read it.
    """

    title: Annotated[str, Field(min_length=3, max_length=80)]
    unit: Literal["ratio", "count"]
    within: Duration


class EffectiveWhen(StrEnum):
    """What proves that the fault works: a canary was harmed, or its target says whom it hit.

    A fault that no single payment feels, such as a wrong line in a settlement report, needs the second.
    """

    CANARY_HARMED = "canary_harmed"
    TARGET_HIT = "target_hit"


class Expect(Part):
    """What must be seen, and what must not."""

    alerts: Annotated[tuple[ExpectedAlert, ...], Field(min_length=1)]
    no_alerts: tuple[str, ...] = ()
    alert_budget: Annotated[int, Field(ge=1, le=50)]
    pages: Annotated[tuple[ExpectedPage, ...], Field(min_length=1)]
    harm: Harm
    restored_within: Duration
    ledger_truth: Literal["whole"]


class Responder(Part):
    """A scripted person: acknowledges after a while, and may follow a runbook, or approve what it orders."""

    ack_after: Duration
    follows: str | None = None
    approves: bool = False


class Scoring(Part):
    """The score that passes, and the weight of each part; the weights need not add up to one."""

    pass_at: Annotated[float, Field(gt=0, le=1)]
    weights: Annotated[
        dict[
            Literal["detect", "page", "acknowledge", "mitigate", "restore", "runbook", "quiet"],
            Annotated[float, Field(gt=0, le=10)],
        ],
        Field(min_length=1),
    ]


class Scenario(Part):
    """One drill, as `drills/drill-NNN-slug.yaml` writes it."""

    title: Annotated[str, Field(min_length=3, max_length=80)]
    runbook: Annotated[str, Field(pattern=SLUG)]
    objectives: Annotated[tuple[str, ...], Field(min_length=1, max_length=10)]
    mode: Literal["ci"]
    clock: Clock
    load: Load
    steady_state: Annotated[tuple[Condition, ...], Field(min_length=1)]
    guardrails: Guardrails
    timeline: Annotated[tuple[Step, ...], Field(min_length=1)]
    effective_when: EffectiveWhen = EffectiveWhen.CANARY_HARMED
    expect: Expect
    responders: dict[str, Responder]
    scoring: Scoring
    controls: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        misfits = [*self._timeline_misfits(), *self._people_misfits()]
        if misfits:
            raise Misfits(misfits)
        return self

    @property
    def card_range(self) -> str:
        """Return the range that a canary should use: the first one that the first fault hits.

        Where the target tells of the effect, the canary is to feel nothing: one that no fault hits.
        """
        if self.effective_when is EffectiveWhen.TARGET_HIT:
            hit = {each for step in self.timeline if step.params for each in step.params.card_ranges}
            usual = tuple(self.load.card_ranges)
            return next((each for each in usual if each not in hit), usual[0])
        first = next((step.params for step in self.timeline if step.params), FaultParams())
        return first.card_ranges[0] if first.card_ranges else next(iter(self.load.card_ranges))

    def _timeline_misfits(self) -> list[Misfit]:
        found: list[Misfit] = []
        begun: list[str] = []
        opening = [step for step in self.timeline if step.at == self.timeline[0].at]
        if self.effective_when is EffectiveWhen.TARGET_HIT and not any(
            step.target_kind is TargetKind.PROVIDER for step in opening
        ):
            what = f"{EffectiveWhen.TARGET_HIT} needs a provider's fault among the first entries"
            found.append(Misfit(("effective_when",), what, EffectiveWhen.CANARY_HARMED))
        for index, step in enumerate(self.timeline):
            if step.id in begun:
                found.append(Misfit(("timeline", index, "id"), f"{step.id} is used twice"))
            if step.id:
                begun.append(step.id)
            for name in step.end:
                if name not in begun:
                    found.append(
                        Misfit(
                            ("timeline", index, "end"), f"ends {name}, which has not begun", ", ".join(begun)
                        )
                    )
        return found

    def _people_misfits(self) -> list[Misfit]:
        paged = {page.role for page in self.expect.pages}
        found = [
            Misfit(("responders", role), "is not among the pages that are expected", ", ".join(sorted(paged)))
            for role in self.responders
            if role not in paged
        ]
        followers = [role for role, responder in self.responders.items() if responder.follows]
        if len(followers) != 1:
            found.append(Misfit(("responders",), "exactly one responder follows the runbook"))
        for role in followers:
            if self.responders[role].approves:
                found.append(Misfit(("responders", role, "approves"), "whoever acts cannot approve it too"))
            if self.responders[role].follows != self.runbook:
                found.append(Misfit(("responders", role, "follows"), "is another runbook", self.runbook))
        return found


def load_scenario(file: Path) -> Scenario:
    """Read a drill file; raises DeclarationInvalid with every problem's line and key."""
    return load_yaml(file, Scenario)
