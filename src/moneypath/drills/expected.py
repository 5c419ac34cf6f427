"""What a drill file expects to happen: alerts, pages, harm and its end, objectives that hold."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from moneypath.drills.parts import Condition, ScenarioModel
from moneypath.path.durations import Duration
from moneypath.path.parts import RoleId
from moneypath.path.source import DeclarationIssue, DeclarationIssues
from moneypath.runbooks.holding import Hold


class NamedAlert(ScenarioModel):
    """An alert with at least these labels."""

    name: str
    labels: dict[str, str] = Field(default_factory=dict)


class ExpectedAlert(NamedAlert):
    """An alert that has to fire `within` this time of the fault's effect."""

    within: Duration
    severity: Literal["critical", "warning"]


class AllowedAlert(NamedAlert):
    """An alert that may fire or not, since it follows from the fault; it may page these roles."""

    pages: tuple[str, ...]


class ExpectedPage(ScenarioModel):
    """A page of `alert` to a role: `within` this time of the effect, acknowledged `ack` after that."""

    alert: str
    role: RoleId
    within: Duration
    ack: Duration


class Harm(Condition):
    """The harm to customers: `expect` holds while there is none, and again `within` this time of the effect.

    `title` says what the query counts, `unit` how the number is shown. `for` and `evidence` in `expect` say
    how long it has to stay so before harm counts as ended, and on how many events.
    """

    takes_hold: ClassVar[bool] = True

    title: Annotated[str, Field(min_length=3, max_length=80)]
    unit: Literal["ratio", "count"]
    within: Duration

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if self.expectation.hold is None:
            what = "says nothing of how long harm stays over: a dip is no end"
            allowed = "`for`, and `evidence: {min, query}`, beside the comparison"
            raise DeclarationIssues([DeclarationIssue(("expect",), what, allowed)])
        return self

    @property
    def hold(self) -> Hold:
        """Return how long harm has to stay over, and on how many events."""
        hold = self.expectation.hold
        if hold is None:
            raise ValueError("harm without `for` is refused when it is read")
        return hold


class Expect(ScenarioModel):
    """What has to happen in a drill, and what must not.

    `harmed_objectives` are the ids of the objectives that the fault itself breaks; every other declared one
    has to hold. A critical alert that is neither expected nor allowed fails the drill, and so does a page of
    an alert to a role that is not named for it.
    """

    alerts: Annotated[tuple[ExpectedAlert, ...], Field(min_length=1)]
    allowed_alerts: tuple[AllowedAlert, ...] = ()
    no_alerts: tuple[str, ...] = ()
    alert_budget: Annotated[int, Field(ge=1, le=50)]
    pages: Annotated[tuple[ExpectedPage, ...], Field(min_length=1)]
    harmed_objectives: tuple[str, ...]
    harm: Harm
    restored_within: Duration
    ledger_truth: Literal["whole", "unknown"]

    @property
    def known_alerts(self) -> tuple[NamedAlert, ...]:
        """Return the alerts that may fire: those that have to, and those that are allowed."""
        return (*self.alerts, *self.allowed_alerts)

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [alert.name for alert in self.alerts]
        known = ", ".join(dict.fromkeys(names))
        issues = [
            DeclarationIssue(("pages", place, "alert"), f"{page.alert} is not expected to fire", known)
            for place, page in enumerate(self.pages)
            if page.alert not in names
        ]
        given = [(page.alert, page.role) for page in self.pages]
        issues += [
            DeclarationIssue(("pages", place), f"{alert} to {role} stands twice", "each once")
            for place, (alert, role) in enumerate(given)
            if (alert, role) in given[:place]
        ]
        issues += [
            DeclarationIssue(("no_alerts", place), f"{name} is expected or allowed to fire")
            for place, name in enumerate(self.no_alerts)
            if name in {alert.name for alert in self.known_alerts}
        ]
        if issues:
            raise DeclarationIssues(issues)
        return self
