"""The pages of this repository: clean, one alert to one page each, and followed against fakes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from moneypath.alerting.facts import describe
from moneypath.alerting.names import alert_names, recorded_series
from moneypath.alerting.timing import Scale
from moneypath.path.guards import AgeGuard, IncreaseGuard, LevelGuard, RatioGuard
from moneypath.path.loader import build_catalogue
from moneypath.path.loader import load as load_path
from moneypath.prometheus import Sample
from moneypath.runbooks import (
    ACTION_PROMISES,
    ActionCall,
    ExecutionContext,
    LintLevel,
    OperatorAction,
    Outcome,
    Runbook,
    Status,
    StepEvent,
    execute,
    lint,
    lint_all,
    load,
    render,
    undo,
)
from moneypath.runbooks.expectations import QueryExpectation
from moneypath.runbooks.printing import PRINT_CHARACTERS, PRINT_LINES
from moneypath.workflows.runbook_files import alert_roles

FOLDER = Path(__file__).parents[2] / "runbooks"
PAGES = sorted(FOLDER.glob("*.md"))
MAIN = FOLDER / "partial-provider-outage.md"
MONEY_PATH = load_path(FOLDER.parent / "moneypath.yaml")
ALERTS = alert_names(MONEY_PATH)
DRILLS = {file.stem for file in (FOLDER.parent / "drills").glob("drill-*.yaml")}


@pytest.fixture(params=PAGES, ids=[page.stem for page in PAGES])
def page(request: pytest.FixtureRequest) -> Runbook:
    """One of the repository's pages."""
    file: Path = request.param
    return load(file)


def test_the_pages_are_there() -> None:
    """An empty folder would make every test below pass."""
    assert [file.stem for file in PAGES] == [
        "alert-silenced",
        "approval-drop",
        "cost-spike",
        "disk-full",
        "double-charge",
        "durability-unsafe",
        "fraud-spike",
        "ledger-imbalance",
        "ledger-writes-failing",
        "merchant-debt",
        "messaging-backlog",
        "partial-provider-outage",
        "settlement-mismatch",
        "slow-authorizations",
        "telemetry-blackout",
        "webhooks-refused",
    ]


def test_the_page_is_clean(page: Runbook) -> None:
    """No error; only a page that no drill proves yet is warned about."""
    catalogue = {name for spec in build_catalogue(MONEY_PATH) for name in spec.sample_names}
    issues = lint(
        page,
        known_alerts=ALERTS,
        known_roles=MONEY_PATH.roles,
        known_actions=ACTION_PROMISES,
        known_series=catalogue | recorded_series(MONEY_PATH),
        drills=DRILLS,
        today=page.front.review.last,
        last_passed=dict.fromkeys(DRILLS, page.front.review.last),
    )
    assert [str(issue) for issue in issues if issue.level is LintLevel.ERROR] == []


def test_the_page_is_one_printed_page(page: Runbook) -> None:
    """66 lines of 100 columns, 4,500 characters."""
    text = render(page)
    assert len(text.splitlines()) <= PRINT_LINES
    assert sum(len(line.strip()) for line in text.splitlines()) <= PRINT_CHARACTERS


def test_the_first_hour_names_who_is_paged_who_tells_and_who_decides(page: Runbook) -> None:
    """Paged roles act first, support speaks with those affected, compliance decides on notification."""
    paged = {role for role, duty in page.front.roles.items() if duty.page}
    by_role = {entry.role: entry for entry in page.front.first_hour}
    assert paged | {"support", "compliance"} <= set(by_role)
    assert min(page.front.first_hour, key=lambda entry: entry.by).role in paged
    assert all(question.role == "compliance" for question in page.front.regulatory)


def test_every_alert_leads_to_exactly_one_page() -> None:
    """The join of alerts and pages has no gap and no choice."""
    assert lint_all([load(file) for file in PAGES], alert_rules=alert_roles(MONEY_PATH)) == []


def test_the_thresholds_of_the_main_page_are_those_of_the_declaration() -> None:
    """The page and the alerts that lead to it agree on what is bad and on what is evidence."""
    (slo,) = MONEY_PATH.availability_slos()
    threshold = f"{Decimal('14.4') * (1 - Decimal(slo.objective)):g}".rstrip("0")
    steps = {step.id: step for step in load(MAIN).steps}
    assert str(steps["confirm-bad-share"].expect) == f">= {threshold}"
    assert f"ratio_rate5m < {threshold})" in steps["another-provider-is-healthy"].instruction[0]
    for name in ("harm-stopped", "alert-resolved-with-traffic"):
        expectation = steps[name].expect
        assert isinstance(expectation, QueryExpectation)
        assert (expectation.symbol, expectation.number) == ("<", float(threshold))
    assert slo.traffic is not None
    assert f"increase5m >= {slo.traffic.min_events} " in " ".join(
        steps["alert-resolved-with-traffic"].instruction[0].split()
    )


def test_the_limits_of_the_pages_are_those_of_the_declaration() -> None:
    """A page asks for what its alert asks for, in the same numbers."""
    steps = {(file.stem, step.id): step for file in PAGES for step in load(file).steps}
    slos = {slo.id: slo for slo in MONEY_PATH.slos}
    guards = {guard.id: guard for guard in MONEY_PATH.guards}
    for page, step, slo in (
        ("slow-authorizations", "confirm-slow", "authorization-latency"),
        ("ledger-writes-failing", "confirm-failing", "ledger-write-success"),
    ):
        threshold = Decimal("14.4") * (1 - slos[slo].objective)
        assert str(steps[page, step].expect) == f">= {threshold.normalize():f}"
    cost, approval = guards["cost_per_transaction"], guards["authorization_approval"]
    assert isinstance(cost, RatioGuard)
    assert isinstance(approval, RatioGuard)
    for name in ("confirm-cost", "dearest-provider"):
        assert str(steps["cost-spike", name].expect) == f"> {int(cost.limit):g}"
    assert f"increase5m >= {cost.min_events}" in steps["cost-spike", "cost-is-back"].instruction[0]
    assert str(steps["approval-drop", "confirm-drop"].expect) == f"< {approval.limit}"
    assert (
        f"increase5m >= {approval.min_events}"
        in steps["approval-drop", "approval-with-traffic"].instruction[0]
    )
    refused = guards["webhook_signatures"]
    assert isinstance(refused, RatioGuard)
    assert str(steps["webhooks-refused", "confirm-refused"].expect) == f"< {refused.limit}"
    accepted = steps["webhooks-refused", "accepted-with-traffic"]
    assert str(accepted.expect) == f">= {refused.limit}"
    assert f"increase5m >= {refused.min_events}" in accepted.instruction[0]
    testing = guards["card_testing"]
    assert isinstance(testing, IncreaseGuard)
    assert str(steps["fraud-spike", "confirm-signals"].expect) == f">= {testing.at_least}"
    lag, depth = guards["reconciliation_lag"], guards["queue_depth"]
    assert isinstance(lag, AgeGuard)
    assert isinstance(depth, LevelGuard)
    assert str(steps["settlement-mismatch", "reconciled-lately"].expect) == f"< {lag.older_than_seconds}"
    assert str(steps["messaging-backlog", "queue-is-short"].expect) == f"<= {depth.above}"


def test_whom_an_alert_pages_its_page_calls_paged() -> None:
    """A role that is woken finds itself on the page; a blackout wakes whom the blind check would."""
    for facts in describe(MONEY_PATH, Scale(1)):
        if facts.runbook == "telemetry-blackout":
            continue
        duties = load(FOLDER / f"{facts.runbook}.md").front.roles
        assert all(duties[role].page for role in facts.roles), facts.name


@dataclass(slots=True)
class Outage:
    """North is sick until it is repaired; every query of the main page is answered from this state."""

    healed_after_restore: bool = True
    action_works: bool = True
    other_healthy: bool = True
    ledger_whole: bool = True
    indeterminate: int = 3
    routed: bool = True
    restored: bool = False
    now: float = 0.0
    calls: list[str] = field(default_factory=list)
    events: list[StepEvent] = field(default_factory=list)

    def monotonic(self) -> float:
        """Return the time slept."""
        return self.now

    async def sleep(self, seconds: float, /) -> None:
        """Let time pass; unresolved payments are settled one at a time while nothing new comes."""
        self.now += seconds
        if not self.routed:
            self.indeterminate = max(0, self.indeterminate - 1)

    async def query(self, promql: str, /) -> Sequence[Sample]:
        """Answer the page's queries."""
        sick = self.routed and not (self.restored and self.healed_after_restore)
        if promql.startswith("count(max by (provider) (moneypath_provider_routing_active"):
            return [Sample({}, 1.0)] if self.other_healthy else []
        if "increase5m" in promql:
            return [Sample({"provider": "north"}, 0.0)] if not sick else []
        values = {
            'provider:authorization_bad:ratio_rate5m{provider="north"}': 0.18 if sick else 0.0,
            "path:authorization_bad:ratio_rate1m": 0.09 if sick else 0.0,
            'max(moneypath_indeterminate_payments{provider="north"})': float(self.indeterminate),
        }
        if promql.startswith(("sum(moneypath_payments_total", "sum(moneypath_provider_attempts_total")):
            return [Sample({}, 24 * self.now)]
        if promql.startswith("sum by (currency)"):
            return [Sample({"currency": "EUR"}, 12345.0), Sample({"currency": "JPY"}, 900.0)]
        if promql.startswith("sum(max by (currency)"):
            return [Sample({}, 0.0 if self.ledger_whole else 1.0)]
        return [Sample({}, values[promql])]

    async def run_action(self, call: ActionCall, /) -> Mapping[str, object]:
        """Route or drain north."""
        self.calls.append(f"{call.name} {' '.join(call.arguments)}")
        active = call.name == "provider.restore"
        if self.action_works:
            self.routed = active
            self.restored = self.restored or active
        return {"provider": call.arguments[0], "routing_active": active, "changed": True}

    async def follow(self) -> Any:
        """Follow the main page for north."""
        context = ExecutionContext(labels={"provider": "north"}, scale=60)
        return await execute(
            load(MAIN),
            context=context,
            actions=self.actions,
            query=self.query,
            record=self.events.append,
            clock=self,
        )

    @property
    def actions(self) -> Mapping[str, OperatorAction]:
        """Both actions."""
        return dict.fromkeys(ACTION_PROMISES, self.run_action)


async def test_the_main_page_ends_an_outage() -> None:
    """Confirm, drain, harm over, money recorded, settled, restored, verified with traffic, ledger whole."""
    outage = Outage()
    execution = await outage.follow()
    assert execution.status is Status.COMPLETED, execution.reason
    assert outage.calls == ["provider.drain north", "provider.restore north"]
    assert [event.number for event in execution.steps] == list(range(1, 10))
    quantified = execution.steps[4]
    assert quantified.seen == '12345 {currency="EUR"}; 900 {currency="JPY"}'
    assert not len(execution.pending_undos)


@pytest.mark.parametrize(
    ("change", "stops_at"),
    [
        ({"action_works": False}, "harm-stopped"),
        ({"other_healthy": False}, "another-provider-is-healthy"),
        ({"ledger_whole": False}, "ledger-is-whole"),
    ],
    ids=["drain does nothing", "nowhere to route to", "a posting vanished"],
)
async def test_the_main_page_stops_where_something_is_wrong(change: dict[str, Any], stops_at: str) -> None:
    """Mutations: each is found by the step that is there for it, never by luck later."""
    execution = await Outage(**change).follow()
    assert execution.status is Status.STOPPED
    assert execution.steps[-1].step == stops_at
    assert execution.steps[-1].outcome is Outcome.UNMET


async def test_a_provider_that_is_not_healed_is_drained_again_and_left_to_people() -> None:
    """The page ends with the provider drained and people called; an undo restores the routing."""
    outage = Outage(healed_after_restore=False)
    execution = await outage.follow()
    assert execution.status is Status.STOPPED
    assert outage.calls == ["provider.drain north", "provider.restore north", "provider.drain north"]
    assert execution.steps[-1].next == "escalate"
    assert not outage.routed
    context = ExecutionContext(labels={})
    assert await undo(
        execution, context=context, actions=outage.actions, record=outage.events.append, clock=outage
    )
    assert outage.routed


def test_what_stops_the_bleeding_is_shown_to_stay_so_in_every_drilled_page(page: Runbook) -> None:
    """No page that a drill executes proves its mitigation by one answer."""
    if page.front.drills:
        assert any(step.hold for step in page.steps)


def test_every_page_with_a_drill_says_who_is_paged_who_tells_and_who_decides_within_the_hour(
    page: Runbook,
) -> None:
    """Engineers repair; somebody else tells those affected, and somebody decides on the regulator."""
    if not page.front.drills:
        return
    hour = 3600.0
    paged = {role for role, duty in page.front.roles.items() if duty.page}
    assert paged <= set(MONEY_PATH.paged_roles())
    assert page.front.owner_role in paged
    told = {one.role for one in page.front.comms if one.by <= hour}
    deciding = {one.role for one in page.front.regulatory}
    assert told
    assert deciding
    busy = {one.role for one in page.front.first_hour if one.by <= hour}
    assert told | deciding | paged <= busy


def test_the_four_scenarios_have_drills() -> None:
    """The test above would pass pages without any."""
    drilled = {file.stem for file in PAGES if load(file).front.drills}
    assert {"partial-provider-outage", "double-charge", "settlement-mismatch", "fraud-spike"} <= drilled
