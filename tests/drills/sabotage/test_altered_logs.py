"""Ways to pass a drill without having earned it: each altered log fails, and for its own reason.

The honest log is one of a drill that went well. A sabotage says what it does, in its name, and by which
sentence alone the scorecard has to tell.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
from tests.proof_table import caught_by

from moneypath.drills.objectives import OBJECTIVES_AS
from moneypath.drills.runbook_criteria import HOLDS_AS
from moneypath.drills.scoring import score
from moneypath.incidents.events import Actor, Event
from moneypath.incidents.timeline import Kind

from ..story import DRILLS, EFFECT, FIRED, HARM_ENDED, OUTAGE, Story

DOUBLE: Final = "drill-006-double-charge"
MISMATCH: Final = "drill-012-settlement-mismatch"
TESTING: Final = "drill-017-card-testing"
BURN: Final = "MoneyPathAuthorizationBudgetBurn"

Sabotage = Callable[[Story], list[Event]]
SABOTAGES: dict[str, tuple[str, Sabotage, tuple[str, ...]]] = {}


def sabotage(drill: str, *reasons: str) -> Callable[[Sabotage], Sabotage]:
    """Register a sabotage of the honest log of `drill`, with how each failure begins that it has to cause."""

    def register(alter: Sabotage) -> Sabotage:
        name = alter.__name__.removeprefix("_")
        SABOTAGES[name] = (drill, alter, reasons)
        return alter

    return register


def _is(kind: Kind, subject: str = "") -> Callable[[Event], bool]:
    return lambda event: event.kind == kind and subject in ("", event.subject)


def _set(**changed: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda payload: payload | changed


def _moved(story: Story, kind: Kind, at: float) -> list[Event]:
    """Return the story with the events of a kind at another instant."""
    kept = story.without(_is(kind))
    (moved,) = (event for event in story.events if event.kind == kind)
    later = Event(len(kept) + 1, at, at, moved.kind, moved.actor, moved.subject, moved.payload)
    return [*kept, later]


# What the issue names.


@sabotage(
    OUTAGE, "promise of provider.drain broken: no new payment reaches north: the provider's book has 20"
)
def _drain_that_does_nothing(story: Story) -> list[Event]:
    return story.changed(_is(Kind.PROMISE_CHECKED, "provider.drain"), _set(found=20.0))


@sabotage(OUTAGE, "customer harm was not seen to end: it came back")
def _lucky_dip(story: Story) -> list[Event]:
    story.harm(HARM_ENDED + 0.4, Kind.HARM_STARTED, 1210.0)
    return story.without(_is(Kind.HARM_STAYED_ENDED))


@sabotage(TESTING, "promise of risk.block broken: no new payment of the blocked range reaches a provider")
def _block_that_lets_tests_through(story: Story) -> list[Event]:
    return story.changed(_is(Kind.PROMISE_CHECKED, "risk.block"), _set(found=7.0))


@sabotage(
    OUTAGE,
    *(
        f"critical alert MoneyPath{name} fired and is not expected"
        for name in ("QueueBacklog", "DeadLetters", "SettlementLate", "ApprovalDrop", "WebhooksRefused")
    ),
    "role compliance was paged by MoneyPathSettlementLate and should have slept",
    "role support was paged by MoneyPathApprovalDrop and should have slept",
)
def _five_false_critical_alerts(story: Story) -> list[Event]:
    for name in ("QueueBacklog", "DeadLetters", "SettlementLate", "ApprovalDrop", "WebhooksRefused"):
        story.alert(FIRED + 4, f"MoneyPath{name}", {})
    story.page(FIRED + 4.1, "MoneyPathSettlementLate", "compliance")
    story.page(FIRED + 4.1, "MoneyPathApprovalDrop", "support")
    return story.events


@sabotage(
    DOUBLE,
    *(f"role {role} was not paged by MoneyPathDoubleCharge" for role in ("eng", "ops", "compliance")),
)
def _double_charge_routed_to_support_alone(story: Story) -> list[Event]:
    return story.without(
        lambda event: (
            event.kind in {Kind.PAGE_DELIVERED, Kind.PAGE_ACKNOWLEDGED}
            and event.payload["alert"] == "MoneyPathDoubleCharge"
            and event.payload["role"] != "support"
        )
    )


@sabotage(OUTAGE, f"role compliance was paged by {BURN} and should have slept")
def _page_to_compliance_that_should_sleep(story: Story) -> list[Event]:
    story.page(FIRED + 0.2, BURN, "compliance")
    return story.events


@sabotage(OUTAGE, "objective ledger-write-success was missed: 90 % of 5000 were good, at least 99.900 %")
def _ledger_write_success_90_percent(story: Story) -> list[Event]:
    return _counts(story, "ledger-write-success", {"valid": 5000.0, "bad": 500.0})


@sabotage(
    OUTAGE,
    "customer harm ended only when the fault was over by itself",
    "customer harm ended after 35 min, allowed 22 min",
)
def _repair_after_the_fault_ended_by_itself(story: Story) -> list[Event]:
    late = story.fault_over + 1
    kept = story.without(lambda e: e.kind in {Kind.HARM_ENDED, Kind.HARM_STAYED_ENDED})
    story.events = kept
    story.harm(late, Kind.HARM_ENDED, 3000.0)
    story.harm(late + 6, Kind.HARM_STAYED_ENDED, 3200.0)
    return story.events


@sabotage(OUTAGE, "step harm-stopped was satisfied after 0.0 s of 5.0 s (real), on 1 of 50 events")
def _check_satisfied_by_one_sample(story: Story) -> list[Event]:
    return story.changed(_step("harm-stopped"), _set(held={"seconds": 0.0, "events": 1.0}))


@sabotage(OUTAGE, "step harm-stopped was satisfied after 9.0 s of 5.0 s (real), on 0 of 50 events")
def _check_satisfied_by_zero_traffic(story: Story) -> list[Event]:
    return story.changed(_step("harm-stopped"), _set(held={"seconds": 9.0, "events": 0.0}))


@sabotage(OUTAGE, f"role ops was not paged by {BURN}")
def _missing_page(story: Story) -> list[Event]:
    return story.without(
        lambda e: e.payload.get("role") == "ops" and e.kind in {Kind.PAGE_DELIVERED, Kind.PAGE_ACKNOWLEDGED}
    )


@sabotage(
    DOUBLE,
    "role support was not paged by MoneyPathDoubleCharge",
    "role support was paged by MoneyPathSettlementMismatch",
)
def _page_by_another_alert(story: Story) -> list[Event]:
    return story.changed(
        lambda e: e.kind in {Kind.PAGE_DELIVERED, Kind.PAGE_ACKNOWLEDGED} and e.payload["role"] == "support",
        _set(alert="MoneyPathSettlementMismatch"),
    )


# Our own.


@sabotage(OUTAGE, "customer harm was not shown to stay over: 0.0 s of 5.0 s (real), on 0 of 50 events")
def _end_of_harm_seen_once(story: Story) -> list[Event]:
    return story.without(_is(Kind.HARM_STAYED_ENDED))


@sabotage(OUTAGE, "customer harm was not shown to stay over: 5.0 s of 5.0 s (real), on 3 of 50 events")
def _end_of_harm_on_three_payments(story: Story) -> list[Event]:
    return story.changed(_is(Kind.HARM_STAYED_ENDED), _set(evidence=1203.0))


@sabotage(OUTAGE, "customer harm was not seen to end: in the end nothing was known of it")
def _harm_that_nobody_measures_any_more(story: Story) -> list[Event]:
    story.harm(HARM_ENDED + 8, Kind.HARM_UNKNOWN, None)
    return story.events


@sabotage(OUTAGE, "customer harm was not shown to stay over: 5.0 s of 5.0 s (real), on no of 50 events")
def _end_of_harm_without_a_count(story: Story) -> list[Event]:
    return story.changed(_is(Kind.HARM_STAYED_ENDED), _set(evidence=None))


def _is_mitigation(event: Event) -> bool:
    return event.kind == Kind.RUNBOOK_STEP and event.payload["type"] == "mitigate"


@sabotage(OUTAGE, "customer harm ended without a repair: no mitigation of the runbook was done before it")
def _runbook_that_repairs_nothing(story: Story) -> list[Event]:
    """The harm went away by itself, while people looked."""
    return story.without(lambda e: _is_mitigation(e) or e.kind == Kind.PROMISE_CHECKED)


@sabotage(OUTAGE, "customer harm ended without a repair: no mitigation of the runbook was done before it")
def _repair_after_the_harm_went_away(story: Story) -> list[Event]:
    return story.moved(_is_mitigation, HARM_ENDED + 1)


@sabotage(OUTAGE, "customer harm ended without a repair: no mitigation of the runbook was done before it")
def _repair_that_the_service_refused(story: Story) -> list[Event]:
    story.events = story.without(_is(Kind.PROMISE_CHECKED))
    return story.changed(_is_mitigation, _set(outcome="refused"))


@sabotage(OUTAGE, "promise of provider.drain north was not looked at")
def _promise_that_nobody_looks_at(story: Story) -> list[Event]:
    named = story.changed(_step("drain-provider"), _set(action=["provider.drain", "north"]))
    return [event for event in named if not _is(Kind.PROMISE_CHECKED, "provider.drain")(event)]


@sabotage(OUTAGE, "promise of provider.drain north was not looked at")
def _promise_of_another_drain(story: Story) -> list[Event]:
    story.events = story.changed(_step("drain-provider"), _set(action=["provider.drain", "north"]))
    return story.changed(_is(Kind.PROMISE_CHECKED, "provider.drain"), _set(key="of last week"))


@sabotage(
    OUTAGE, "promise of provider.drain broken: no new payment reaches north: only 2 payments at the other"
)
def _drain_with_no_traffic_anywhere(story: Story) -> list[Event]:
    return story.changed(_is(Kind.PROMISE_CHECKED, "provider.drain"), _set(evidence=2.0))


@sabotage(
    OUTAGE, "promise of provider.restore broken: new payments reach north again: the provider's book has 0"
)
def _restore_that_does_nothing(story: Story) -> list[Event]:
    return story.changed(_is(Kind.PROMISE_CHECKED, "provider.restore"), _set(found=0.0))


@sabotage(
    MISMATCH, "promise of settlement.refetch broken: reports of north that were in doubt are read again"
)
def _refetch_that_reads_nothing(story: Story) -> list[Event]:
    return story.changed(_is(Kind.PROMISE_CHECKED, "settlement.refetch"), _set(found=0.0))


@sabotage(
    DOUBLE, "promise of duplicates.refund broken: nothing that north charged twice is still to be given back"
)
def _refund_of_all_but_one(story: Story) -> list[Event]:
    return story.changed(_is(Kind.PROMISE_CHECKED, "duplicates.refund"), _set(found=1.0))


@sabotage(
    OUTAGE, "promise of provider.drain broken: no new payment reaches north: not known: the book is gone"
)
def _provider_book_that_cannot_be_read(story: Story) -> list[Event]:
    unknown = _set(found=None, evidence=None, reason="the book is gone")
    return story.changed(_is(Kind.PROMISE_CHECKED, "provider.drain"), unknown)


@sabotage(OUTAGE, f"critical alert {BURN} (provider south) fired and is not expected")
def _same_alert_about_a_healthy_provider(story: Story) -> list[Event]:
    story.alert(FIRED + 5, BURN, {"provider": "south"})
    return story.events


@sabotage(OUTAGE, f"role ops did not acknowledge {BURN}")
def _acknowledgement_by_somebody_else(story: Story) -> list[Event]:
    mine = next(e for e in story.events if e.kind == Kind.PAGE_ACKNOWLEDGED and e.payload["role"] == "ops")
    story.events.remove(mine)
    story.add(FIRED + 1, Kind.PAGE_ACKNOWLEDGED, BURN, mine.payload, Actor("eng", "eng"))
    return story.events


@sabotage(OUTAGE, f"role ops did not acknowledge {BURN}")
def _acknowledgement_of_another_page(story: Story) -> list[Event]:
    return story.changed(
        lambda e: e.kind == Kind.PAGE_ACKNOWLEDGED and e.payload["role"] == "ops",
        _set(alert="MoneyPathSettlementMismatch"),
    )


@sabotage(OUTAGE, "objective ledger-durability is not known to have held: no event was counted")
def _objective_that_nobody_counts(story: Story) -> list[Event]:
    return _counts(story, "ledger-durability", {"valid": None, "bad": None})


@sabotage(OUTAGE, "objective settlement-accuracy is not known to have held: no event was counted")
def _objective_left_out_of_the_measurement(story: Story) -> list[Event]:
    return story.changed(
        _is(Kind.OBJECTIVES_MEASURED),
        lambda p: p | {"counts": {k: v for k, v in p["counts"].items() if k != "settlement-accuracy"}},
    )


@sabotage(TESTING, "objective authorization-availability was missed: 99.88 % of 5000 were good")
def _objective_harmed_by_another_fault(story: Story) -> list[Event]:
    return _counts(story, "authorization-availability", {"valid": 5000.0, "bad": 6.0})


@sabotage(OUTAGE, "the log lists no objective")
def _log_that_lists_no_objective(story: Story) -> list[Event]:
    return story.changed(_is(Kind.DRILL_STARTED), _set(**{OBJECTIVES_AS: []}))


@sabotage(OUTAGE, "the log does not list which checks have to hold")
def _log_that_lists_no_hold(story: Story) -> list[Event]:
    return story.changed(_is(Kind.DRILL_STARTED), lambda p: {k: v for k, v in p.items() if k != HOLDS_AS})


@sabotage(OUTAGE, "customer harm ended after 23 min, allowed 22 min")
def _harm_that_ends_late(story: Story) -> list[Event]:
    story.events = _moved(story, Kind.HARM_ENDED, EFFECT + 23)
    return _moved(story, Kind.HARM_STAYED_ENDED, EFFECT + 28)


def _step(name: str) -> Callable[[Event], bool]:
    return _is(Kind.RUNBOOK_STEP, name)


def _counts(story: Story, objective: str, counts: Mapping[str, float | None]) -> list[Event]:
    return story.changed(
        _is(Kind.OBJECTIVES_MEASURED), lambda p: p | {"counts": p["counts"] | {objective: counts}}
    )


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_sabotage_fails_the_drill_for_its_own_reason(name: str) -> None:
    """No failure but those that the sabotage has to cause, and each of them named."""
    drill, alter, reasons = SABOTAGES[name]
    card = score(alter(Story(drill)))
    caught_by(card.failures)
    assert not card.passed
    assert card.score < Story(drill).scenario.scoring.pass_at
    found = sorted(card.failures)
    assert len(found) == len(reasons), found
    for failure, reason in zip(found, sorted(reasons), strict=True):
        assert failure.startswith(reason), found


@pytest.mark.parametrize("drill", DRILLS)
def test_the_honest_log_passes(drill: str) -> None:
    """The twin of every sabotage."""
    card = score(Story(drill).events)
    assert (card.passed, card.score, card.failures) == (True, 1.0, ())


@pytest.mark.parametrize("drill", DRILLS)
@pytest.mark.parametrize("what", ["dead", "unseen"])
def test_each_action_dead_or_unseen_fails_every_drill(drill: str, what: str) -> None:
    """Whatever an action promises, what its witness does not confirm is not done."""
    story = Story(drill)
    for place, event in enumerate(story.events):
        if event.kind != Kind.PROMISE_CHECKED:
            continue
        promised = event.payload["found"]
        found = None if what == "unseen" else (0.0 if promised else 1.0)
        altered = list(story.events)
        altered[place] = Event(
            event.seq, event.ts_wall, event.ts_mono, event.kind, event.actor, event.subject,
            {**event.payload, "found": found},
        )  # fmt: skip
        card = score(altered)
        caught_by(card.failures)
        assert not card.passed
        assert [f.startswith(f"promise of {event.subject} broken") for f in card.failures] == [True]
