"""What is promised of each alert, and the alerts that could never keep a promise."""

from decimal import Decimal
from fractions import Fraction

import pytest

from moneypath.alerting.burn import TIERS, threshold, window_seconds
from moneypath.alerting.errors import AlertImpossible
from moneypath.alerting.facts import AlertFacts, describe
from moneypath.alerting.generate import generate
from moneypath.alerting.names import paged_roles, runbooks
from moneypath.alerting.timing import PRODUCTION, Scale
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import TierId
from moneypath.path.parts import Links

from .variants import with_guard, with_slo

FAST = TIERS[TierId.FAST]


def facts_of(money_path: MoneyPath, name: str, factor: int = 1) -> AlertFacts:
    """Return the facts of the first alert called `name`."""
    return next(facts for facts in describe(money_path, Scale(factor)) if facts.name == name)


@pytest.mark.parametrize(("tier", "factor"), [(TierId.FAST, Fraction(144, 10)), (TierId.SLOW, Fraction(6))])
def test_the_factors_of_the_tiers_are_the_published_ones(tier: TierId, factor: Fraction) -> None:
    """2 % in an hour is 14.4 times, 5 % in six hours 6 times the rate that spends a 30-day budget."""
    assert TIERS[tier].factor(30) == factor


@pytest.mark.parametrize("objective", ["0.9", "0.93", "0.930555555"])
def test_a_tier_that_could_never_fire_is_refused(money_path: MoneyPath, objective: str) -> None:
    """At or below 1 - 1/14.4 even a total outage does not burn fast enough."""
    path = with_slo(money_path, objective=Decimal(objective))
    with pytest.raises(AlertImpossible, match=r"authorization-availability.*can never fire") as caught:
        generate(path)
    assert "above 0.930555556" in caught.value.hint


def test_the_least_possible_objective_is_accepted(money_path: MoneyPath) -> None:
    """Just above 1 - 1/14.4 the fast tier can fire, if everything fails."""
    slo = with_slo(money_path, objective=Decimal("0.930555556")).slos[0]
    assert threshold(slo, FAST) < 1


@pytest.mark.parametrize(
    ("objective", "ratio", "seconds"),
    [("0.999", "1", "51.84"), ("0.99", "1", "518.4"), ("0.999", "0.3", "172.8"), ("0.999", "0.05", "1036.8")],
)
def test_the_window_part_follows_the_formula(
    money_path: MoneyPath, objective: str, ratio: str, seconds: str
) -> None:
    """factor x (1 - objective) x long window / error ratio: 52 s, 8.6 min, 173 s, 17 min."""
    slo = with_slo(money_path, objective=Decimal(objective)).slos[0]
    part = window_seconds(threshold(slo, FAST), Fraction(FAST.long_seconds), Fraction(ratio))
    assert part == Fraction(seconds)


def test_an_error_ratio_under_the_threshold_is_never_detected() -> None:
    """Asking when 1 % is seen by a threshold of 1.44 % is refused instead of answered."""
    with pytest.raises(AlertImpossible, match="never passes"):
        window_seconds(Fraction("0.0144"), Fraction(3600), Fraction("0.01"))


def test_the_worst_case_adds_a_scrape_two_evaluations_hold_and_group_wait(money_path: MoneyPath) -> None:
    """In production the burn at 30 % takes 172.8 s + 15 s, a total outage 30 s + 15 s.

    A process that takes the scrape's connection and never answers is down 5 s later than one that is gone.
    """
    assert PRODUCTION.delay_seconds == 15
    assert facts_of(money_path, "MoneyPathAuthorizationBudgetBurn").detect_within_seconds == Fraction("187.8")
    assert facts_of(money_path, "MoneyPathAuthorizationHardDown").detect_within_seconds == 45
    assert facts_of(money_path, "MoneyPathTargetDown").detect_within_seconds == 50


def test_live_the_burn_is_seen_within_ten_seconds(money_path: MoneyPath) -> None:
    """At scale 60 the burn at 30 % takes 2.88 s + 3 s, the clamped hard-down window 2.5 s + 3 s."""
    assert facts_of(money_path, "MoneyPathAuthorizationBudgetBurn", 60).detect_within_seconds == Fraction(
        "5.88"
    )
    assert facts_of(money_path, "MoneyPathAuthorizationHardDown", 60).detect_within_seconds == Fraction("5.5")


def test_a_promise_that_cannot_be_kept_is_refused(money_path: MoneyPath) -> None:
    """detect_within_seconds is compared with the computed worst case before anything is written."""
    (slo,) = money_path.availability_slos()
    path = with_slo(money_path, burn=slo.burn.model_copy(update={"detect_within_seconds": 187}))
    with pytest.raises(AlertImpossible, match=r"BudgetBurn \(fast\): detect_within_seconds is 187.*187\.8 s"):
        generate(path)


def test_a_promise_that_just_holds_is_accepted(money_path: MoneyPath) -> None:
    """The twin of the refusal: 188 s is enough for 187.8 s."""
    (slo,) = money_path.availability_slos()
    assert generate(with_slo(money_path, burn=slo.burn.model_copy(update={"detect_within_seconds": 188})))


EVERYBODY = ("eng", "ops", "support", "compliance")
LEDGER = ("eng", "ops", "compliance")
SETTLEMENT = ("ops", "compliance", "eng")
BLACKOUT = "telemetry-blackout"
# Who is paged, where they read, and the worst case from the fault to the page in production and live.
ALERTS: dict[str, tuple[tuple[str, ...], str, str | None, str | None]] = {
    "MoneyPathTargetDown": (("eng", "ops"), BLACKOUT, "50", "14"),
    "MoneyPathWatchdog": (("eng",), BLACKOUT, None, None),
    "MoneyPathAuthorizationHardDown": (("eng", "ops"), "partial-provider-outage", "45", "5.5"),
    "MoneyPathAuthorizationBudgetBurn": (("eng", "ops"), "partial-provider-outage", "187.8", "5.88"),
    "MoneyPathTrafficMissing": (("eng", "ops"), BLACKOUT, "615", "18"),
    "MoneyPathAuthorizationLatencyBurn": (("eng", "ops"), "slow-authorizations", "1051.8", "20.28"),
    "MoneyPathLedgerWriteBudgetBurn": (("eng", "ops"), "ledger-writes-failing", "187.8", "5.88"),
    "MoneyPathLedgerImbalance": (LEDGER, "ledger-imbalance", "15", "3"),
    "MoneyPathLedgerCheckStale": (("eng", "ops"), BLACKOUT, "510", "21"),
    "MoneyPathCaptureUnposted": (LEDGER, "ledger-imbalance", "15", "3"),
    "MoneyPathCaptureCheckStale": (("eng", "ops"), BLACKOUT, "510", "21"),
    "MoneyPathLedgerWriteMissing": (LEDGER, "ledger-imbalance", "15", "3"),
    "MoneyPathLedgerProbeStale": (("eng", "ops"), BLACKOUT, "510", "21"),
    "MoneyPathLedgerChainBroken": (LEDGER, "ledger-imbalance", "15", "3"),
    "MoneyPathLedgerChainCheckStale": (("eng", "ops"), BLACKOUT, "510", "21"),
    "MoneyPathAuditChainBroken": (LEDGER, "ledger-imbalance", "15", "3"),
    "MoneyPathAuditChainCheckStale": (("eng", "ops"), BLACKOUT, "510", "21"),
    "MoneyPathDurabilityUnsafe": (("eng", "ops"), "durability-unsafe", "15", "3"),
    "MoneyPathDurabilityCheckStale": (("eng", "ops"), BLACKOUT, "510", "21"),
    "MoneyPathDoubleCharge": (EVERYBODY, "double-charge", "15", "3"),
    "MoneyPathDoubleChargeCheckStale": (("eng", "ops"), BLACKOUT, "510", "21"),
    "MoneyPathSettlementMismatch": (SETTLEMENT, "settlement-mismatch", "15", "3"),
    "MoneyPathReconciliationStale": (SETTLEMENT, "settlement-mismatch", "510", "21"),
    "MoneyPathIntegrityAlertSilenced": (LEDGER, "alert-silenced", "15", "3"),
    "MoneyPathSilenceCheckStale": (LEDGER, "alert-silenced", "510", "21"),
    "MoneyPathReconciliationLag": (SETTLEMENT, "settlement-mismatch", "915", "18"),
    "MoneyPathSettlementLate": (SETTLEMENT, "settlement-mismatch", "495", "11"),
    "MoneyPathFraudSpike": (SETTLEMENT, "fraud-spike", "315", "8"),
    "MoneyPathQueueBacklog": (("eng", "ops"), "messaging-backlog", "615", "13"),
    "MoneyPathDeadLetters": (("eng", "ops"), "messaging-backlog", "15", "3"),
    "MoneyPathBrokerWritesRefused": (("eng", "ops"), "disk-full", "495", "11"),
    "MoneyPathDiskFilling": (("eng", "ops"), "disk-full", "495", "11"),
    "MoneyPathIndeterminateUnresolved": (("ops", "eng"), "partial-provider-outage", "1815", "33"),
    "MoneyPathCostPerTransactionHigh": (("ops", "eng"), "cost-spike", "315", "8"),
    "MoneyPathMerchantInDebt": (("ops", "support"), "merchant-debt", "495", "11"),
    "MoneyPathApprovalDrop": (("eng", "ops", "support"), "approval-drop", "315", "8"),
    "MoneyPathWebhooksRefused": (("eng", "ops"), "webhooks-refused", "315", "8"),
}


def test_every_alert_says_who_it_pages_where_to_read_and_how_long_it_takes(money_path: MoneyPath) -> None:
    """The whole table, alert by alert; the slower of two rules of one name counts."""
    found: dict[str, tuple[tuple[str, ...], str, Fraction | None, Fraction | None]] = {}
    for production, live in zip(describe(money_path, Scale(1)), describe(money_path, Scale(60)), strict=True):
        seconds = production.detect_within_seconds, live.detect_within_seconds
        before = found.get(production.name)
        if before is None or (seconds[0] or 0) > (before[2] or 0):
            found[production.name] = (production.roles, production.runbook, *seconds)
    expected = {
        name: (roles, page, *(None if text is None else Fraction(text) for text in seconds))
        for name, (roles, page, *seconds) in ALERTS.items()
    }
    assert found == expected
    assert facts_of(money_path, "MoneyPathLedgerImbalance").subject == "ledger_balance"


def test_facts_do_not_depend_on_how_labels_and_links_are_written(money_path: MoneyPath) -> None:
    """An alert keeps what it came from, so the addresses of a company's wiki change nothing."""
    elsewhere = Links(runbooks="https://wiki.example/x.md/", dashboards="https://grafana.example/d/")
    moved = describe(money_path.model_copy(update={"links": elsewhere}), Scale(1))
    assert moved == describe(money_path, Scale(1))
    assert {facts.dashboard for facts in moved} == {"money-path"}


def test_the_names_say_who_is_paged_by_each_critical_alert(money_path: MoneyPath) -> None:
    """What the lint of runbooks compares with its pages."""
    paged = paged_roles(money_path)
    assert paged == {
        name: frozenset(roles) for name, (roles, *_) in ALERTS.items() if name != "MoneyPathWatchdog"
    }
    assert runbooks(money_path) == {name: page for name, (_, page, *_) in ALERTS.items()}


def test_a_guard_that_cannot_keep_its_promise_is_refused(money_path: MoneyPath) -> None:
    """The way that takes longest counts: a depth is seen at once, but its gauge may be gone for 480 s."""
    for within, possible in ((494, False), (495, True)):
        path = with_guard(money_path, "queue_depth", detect_within_seconds=within)
        if possible:
            assert generate(path)
        else:
            with pytest.raises(AlertImpossible, match=r"QueueBacklog: detect_within_seconds is 494.*495 s"):
                generate(path)


def test_a_burn_over_the_path_that_could_never_fire_is_refused(money_path: MoneyPath) -> None:
    """A latency objective of 90 % is not burned at 14.4 times by anything."""
    slos = tuple(
        slo.model_copy(update={"objective": Decimal("0.9")}) if slo.id == "authorization-latency" else slo
        for slo in money_path.slos
    )
    with pytest.raises(AlertImpossible, match=r"slos\[authorization-latency\].*can never fire"):
        generate(money_path.model_copy(update={"slos": slos}))
