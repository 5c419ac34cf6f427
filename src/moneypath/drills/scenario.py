"""The drill file: what is broken, what must happen, who must act, and what a pass is worth.

Every duration is production time; the runner divides waiting by `clock.scale` and the score
multiplies what it measured by it. `guardrails.fault_ttl` alone is real time: a lease is a lease.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from moneypath.path.durations import Duration
from moneypath.path.source import Misfit, Misfits, load_yaml
from moneypath.runbooks.expectations import QueryExpectation, query_expectation

SLUG: Final = r"^[a-z][a-z0-9-]{0,63}$"
FILE_STEM: Final = r"drill-\d{3}-[a-z0-9-]+"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Clock(_Part):
    """`scale` production seconds pass in one real second; `seed` decides whom a fault hits."""

    scale: Annotated[int, Field(ge=1, le=60)]
    seed: Annotated[int, Field(ge=0, le=2**31)]


class Load(_Part):
    """Checkouts a real second, by how many users, over which card ranges (range: weight)."""

    checkouts_per_second: Annotated[int, Field(ge=1, le=200)]
    users: Annotated[int, Field(ge=1, le=200)]
    card_ranges: Annotated[
        dict[Annotated[str, Field(pattern=r"^[45]\d{5}$")], Annotated[int, Field(ge=1, le=100)]],
        Field(min_length=1),
    ]


class Condition(_Part):
    """A PromQL query and what its answer must be, in the grammar of a runbook's `expect`."""

    id: Annotated[str, Field(pattern=SLUG)]
    query: Annotated[str, Field(min_length=1, max_length=1000)]
    expect: dict[str, bool | int | float | str]

    @model_validator(mode="after")
    def _expectation_reads(self) -> Self:
        query_expectation(self.expect)
        return self

    @property
    def expectation(self) -> QueryExpectation:
        """Return `expect`, ready to judge samples."""
        return query_expectation(self.expect)


class Guardrails(_Part):
    """Bounds that no drill may cross: its length, a fault's lease, and conditions that abort it."""

    max_minutes: Annotated[int, Field(ge=1, le=600)]
    fault_ttl: Annotated[Duration, Field(ge=2, le=60)]
    abort_if: tuple[Condition, ...] = ()


class FaultParams(_Part):
    """Share and scope of a provider's fault; empty scope lists mean everything."""

    rate: Annotated[float, Field(gt=0, le=1)]
    latency: Annotated[Duration, Field(le=30)] = "0s"  # type: ignore[assignment] # validated from text like any other
    card_ranges: tuple[str, ...] = ()
    currencies: tuple[str, ...] = ()
    operations: tuple[Literal["authorize", "capture", "refund", "query"], ...] = (
        "authorize",
        "capture",
        "refund",
    )

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Step(_Part):
    """One entry of the timeline: `fault` begins one, `end` ends those named."""

    at: Duration
    id: Annotated[str, Field(pattern=SLUG)] | None = None
    fault: (
        Literal["provider.refuse", "provider.drop", "provider.hang", "provider.delay", "provider.decline"]
        | None
    ) = None
    target: str | None = None
    params: FaultParams | None = None
    end: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        begins = self.fault is not None
        if begins == bool(self.end):
            raise ValueError("a timeline entry either begins a `fault` or names faults to `end`")
        if begins and not (self.id and self.target and self.params):
            raise ValueError("a fault needs `id`, `target` and `params`")
        return self


class ExpectedAlert(_Part):
    """An alert that must fire, with labels that must match, `within` of the fault taking effect."""

    name: str
    within: Duration
    severity: Literal["critical", "warning"]
    labels: dict[str, str] = Field(default_factory=dict)


class ExpectedPage(_Part):
    """A role that must hear of it `within` of the effect and acknowledge within `ack` of the page."""

    role: str
    within: Duration
    ack: Duration


class Harm(Condition):
    """What customers feel: `expect` holds while they are fine; back again `within` of the effect."""

    within: Duration


class Expect(_Part):
    """What must be seen, and what must not."""

    alerts: Annotated[tuple[ExpectedAlert, ...], Field(min_length=1)]
    no_alerts: tuple[str, ...] = ()
    alert_budget: Annotated[int, Field(ge=1, le=50)]
    pages: Annotated[tuple[ExpectedPage, ...], Field(min_length=1)]
    harm: Harm
    restored_within: Duration
    ledger_truth: Literal["whole"]


class Responder(_Part):
    """A scripted person: acknowledges after a while, and may follow a runbook."""

    ack_after: Duration
    follows: str | None = None


class Scoring(_Part):
    """The score that passes, and the weight of each part; the weights need not add up to one."""

    pass_at: Annotated[float, Field(gt=0, le=1)]
    weights: Annotated[
        dict[
            Literal["detect", "page", "acknowledge", "mitigate", "restore", "runbook", "quiet"],
            Annotated[float, Field(gt=0, le=10)],
        ],
        Field(min_length=1),
    ]


class Scenario(_Part):
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
        """Return the range that a canary should use: the first one that the first fault hits."""
        first = next(step.params for step in self.timeline if step.params)
        return first.card_ranges[0] if first.card_ranges else next(iter(self.load.card_ranges))

    def _timeline_misfits(self) -> list[Misfit]:
        found: list[Misfit] = []
        begun: list[str] = []
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
            if self.responders[role].follows != self.runbook:
                found.append(Misfit(("responders", role, "follows"), "is another runbook", self.runbook))
        return found


def load_scenario(file: Path) -> Scenario:
    """Read a drill file; raises DeclarationInvalid with every problem's line and key."""
    return load_yaml(file, Scenario)
