"""What is promised of each alert, and the alerts that could never keep a promise."""

from decimal import Decimal
from fractions import Fraction

import pytest

from moneypath.alerting.burn import TIERS, threshold, window_seconds
from moneypath.alerting.errors import AlertImpossible
from moneypath.alerting.facts import AlertFacts, describe
from moneypath.alerting.generate import generate
from moneypath.alerting.timing import PRODUCTION, Scale
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import TierId

from .variants import with_slo

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
    """In production the burn at 30 % takes 172.8 s + 15 s, a total outage 30 s + 15 s."""
    assert PRODUCTION.delay_seconds == 15
    assert facts_of(money_path, "MoneyPathAuthorizationBudgetBurn").detect_within_seconds == Fraction("187.8")
    assert facts_of(money_path, "MoneyPathAuthorizationHardDown").detect_within_seconds == 45
    assert facts_of(money_path, "MoneyPathTargetDown").detect_within_seconds == 45


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


def test_every_alert_says_who_it_pages_and_where_to_read(money_path: MoneyPath) -> None:
    """Each rule has a known severity, declared roles, and a runbook by its file name."""
    facts = describe(money_path, Scale(1))
    assert {fact.name for fact in facts} == {
        "MoneyPathTargetDown",
        "MoneyPathWatchdog",
        "MoneyPathAuthorizationHardDown",
        "MoneyPathAuthorizationBudgetBurn",
        "MoneyPathTrafficMissing",
        "MoneyPathLedgerImbalance",
        "MoneyPathLedgerCheckStale",
        "MoneyPathCaptureUnposted",
        "MoneyPathCaptureCheckStale",
    }
    for fact in facts:
        assert set(fact.roles) <= set(money_path.roles)
        assert "/" not in fact.runbook
        assert not fact.runbook.endswith(".md")
    imbalance = facts_of(money_path, "MoneyPathLedgerImbalance")
    assert imbalance.roles == ("eng", "ops", "compliance")
    assert imbalance.subject == "ledger_balance"
    assert facts_of(money_path, "MoneyPathWatchdog").detect_within_seconds is None
