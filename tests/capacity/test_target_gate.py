"""The verdict on a deployed service follows from the figures of one window, and nothing unknown passes."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.capacity.figures import FiredAlert, Tally
from moneypath.capacity.junit import to_junit
from moneypath.capacity.observation import CriterionStatus
from moneypath.capacity.target_gate import (
    ALERTS,
    EVIDENCE,
    MONEY,
    RATE,
    ObjectiveTally,
    TargetFigures,
    TargetGate,
    decide_on_target,
    load_target_gate,
    target_document,
)
from moneypath.capacity.verdict import GateOutcome
from moneypath.path.model import MoneyPath
from moneypath.path.problems import DeclarationInvalid

PLAN: dict[str, Any] = {
    "title": "Wallet before a release",
    "load": {"per_second": 10, "users": 5},
    "warm_up": "10s",
    "duration": "1m",
}
GATE = TargetGate.model_validate(PLAN)
TOP_UPS = ObjectiveTally("top-ups", Decimal("0.999"), Tally(1000.0, 1.0))
GOOD = TargetFigures(60.0, 600.0, (TOP_UPS,), (), money=True)
UNREAD = replace(GOOD, objectives=(replace(TOP_UPS, tally=None),))
CRITICAL = FiredAlert("WalletDown", "critical", "bank-one", 3.0)


def decided(figures: TargetFigures, **plan: Any) -> tuple[GateOutcome, dict[str, str]]:
    """Return the outcome, and what keeps the service back with its status."""
    verdict = decide_on_target(figures, TargetGate.model_validate(PLAN | plan), target="wallet")
    kept = {
        str(one.measure): one.status.value for one in verdict.results if one.status is not CriterionStatus.MET
    }
    return verdict.outcome, kept


def counted(valid: float, bad: float) -> TargetFigures:
    """Return good figures but for one objective."""
    return replace(GOOD, objectives=(replace(TOP_UPS, tally=Tally(valid, bad)),))


def test_a_service_that_keeps_everything_passes() -> None:
    """Exactly its objective is enough."""
    assert decided(GOOD) == (GateOutcome.PASSED, {})
    verdict = decide_on_target(GOOD, GATE, target="wallet")
    assert (verdict.exit_code, verdict.build, verdict.title) == (0, "wallet", "Wallet before a release")
    assert verdict.summary.startswith("passed: wallet: rate 10.0/s = 100.0%; evidence 1000 events")


FAILED, OPEN, PASSED = GateOutcome.FAILED, GateOutcome.INCONCLUSIVE, GateOutcome.PASSED


@pytest.mark.parametrize(
    ("figures", "outcome", "kept"),
    [
        (counted(1000.0, 1.001), FAILED, {"top-ups": "broken"}),
        (counted(1000.0, float("nan")), FAILED, {"top-ups": "broken"}),
        (counted(1000.0, float("inf")), FAILED, {"top-ups": "broken"}),
        (UNREAD, FAILED, {"top-ups": "unknown", EVIDENCE: "inconclusive"}),
        (counted(0.0, 0.0), OPEN, {"top-ups": "inconclusive", EVIDENCE: "inconclusive"}),
        (counted(99.0, 0.0), OPEN, {EVIDENCE: "inconclusive"}),
        (counted(100.0, 0.0), PASSED, {}),
        (replace(GOOD, asked=479.0), OPEN, {RATE: "inconclusive"}),
        (replace(GOOD, asked=480.0), PASSED, {}),
        (replace(GOOD, asked=float("nan")), OPEN, {RATE: "inconclusive"}),
        (replace(GOOD, seconds=0.0), PASSED, {RATE: "unmeasured"}),
        (replace(GOOD, asked=None), PASSED, {RATE: "unmeasured"}),
        (replace(GOOD, alerts=None), FAILED, {ALERTS: "unknown"}),
        (replace(GOOD, alerts=(CRITICAL,)), FAILED, {ALERTS: "broken"}),
        (replace(GOOD, alerts=(replace(CRITICAL, severity="warning"),)), PASSED, {}),
        (replace(GOOD, money=False, reasons=("wallet: amount",)), FAILED, {MONEY: "broken"}),
        (replace(GOOD, money=None), FAILED, {MONEY: "unknown"}),
        (replace(GOOD, money=None, unaudited=True), FAILED, {MONEY: "unknown"}),
    ],
)  # fmt: skip
def test_what_is_broken_or_not_known_does_not_pass(
    figures: TargetFigures, outcome: GateOutcome, kept: dict[str, str]
) -> None:
    """A load that was too small proves nothing; anything else that is not met fails."""
    assert decided(figures) == (outcome, kept)


def test_what_a_plan_says_beforehand_counts() -> None:
    """Warnings that fail, fewer events, a smaller share of the rate, money that nobody audits."""
    warned = replace(GOOD, alerts=(replace(CRITICAL, severity="warning"),))
    assert decided(warned, warnings_fail=True) == (FAILED, {ALERTS: "broken"})
    assert decided(counted(99.0, 0.0), least_events=99) == (PASSED, {})
    slow = replace(GOOD, asked=300.0)
    assert decided(slow, load={"per_second": 10, "users": 5, "least_rate_ratio": "0.5"}) == (PASSED, {})
    unaudited = replace(GOOD, money=None, unaudited=True)
    assert decided(unaudited, ledger_truth="unknown") == (PASSED, {MONEY: "unmeasured"})
    for money in (None, False):
        outcome, _ = decided(replace(GOOD, money=money), ledger_truth="unknown")
        assert outcome is FAILED


def test_a_broken_service_fails_even_where_the_load_proves_little() -> None:
    """One objective that was missed is enough, whatever else is not known."""
    assert decided(replace(counted(50.0, 50.0), asked=1.0))[0] is FAILED


def test_a_verdict_is_told_as_a_document_and_as_junit() -> None:
    """With every measure, its limit, and what was counted."""
    figures = replace(GOOD, money=False, reasons=tuple(f"reason {n}" for n in range(9)), alerts=(CRITICAL,))
    verdict = decide_on_target(figures, GATE, target="wallet")
    document: Any = target_document(verdict, phases={"window": 60.04})
    assert (document["target"], document["outcome"], document["exit_code"]) == ("wallet", "failed", 1)
    measures = {one["measure"]: one for one in document["measures"]}
    assert measures[MONEY]["details"] == [f"reason {n}" for n in range(5)]
    assert measures[MONEY]["seen"] == "not whole: 9 reasons"
    assert measures[ALERTS]["details"] == ["WalletDown (critical, bank-one) after 3 s"]
    assert measures["top-ups"]["allowed"] == "at least 99.900 %"
    assert document["figures"]["objectives"] == {"top-ups": {"valid": 1000.0, "bad": 1.0}}
    assert document["phases_seconds"] == {"window": 60.0}
    report = to_junit(verdict, 60.0)
    assert 'failures="2"' in report
    assert "not whole: 9 reasons" in report


@given(
    st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6) | st.none(), st.sampled_from([True, False, None]),
    st.sampled_from([(), None, (CRITICAL,)]), st.booleans(),
)  # fmt: skip
def test_nothing_passes_that_is_not_known_to_be_well(
    valid: float,
    bad: float,
    asked: float | None,
    money: bool | None,
    alerts: tuple[FiredAlert, ...] | None,
    unaudited: bool,
) -> None:
    """Whatever the figures: who passes has enough events, few bad ones, no alert and money that is whole."""
    tally = replace(TOP_UPS, tally=Tally(valid, bad))
    outcome, _ = decided(TargetFigures(60.0, asked, (tally,), alerts, money, unaudited=unaudited))
    if outcome is PASSED:
        assert valid >= GATE.least_events
        assert bad <= 0.001 * valid * (1 + 1e-9)
        assert asked is None or asked >= 480
        assert (money, alerts, unaudited) == (True, (), False)


def write(folder: Path, *lines: str) -> Path:
    """Write a plan that is right but for some lines."""
    file = folder / "gate.yaml"
    good = ["title: Wallet", "load: {per_second: 10, users: 5}", "warm_up: 10s", "duration: 1m"]
    changed = {line.partition(":")[0] for line in lines}
    file.write_text(
        "\n".join([*(one for one in good if one.partition(":")[0] not in changed), *lines]) + "\n"
    )
    return file


def test_a_plan_has_usual_values(tmp_path: Path, path: MoneyPath) -> None:
    """Money has to be whole, warnings do not fail, every objective is judged."""
    gate = load_target_gate(write(tmp_path), path)
    assert (gate.duration, gate.drain, gate.objectives, gate.least_events) == (60.0, 45.0, (), 100)
    assert (gate.ledger_truth, gate.warnings_fail, gate.load.seed) == ("whole", False, 1)
    assert gate.load.least_rate_ratio == Decimal("0.8")
    chosen = load_target_gate(write(tmp_path, f"objectives: [{path.slos[1].id}]"), path)
    assert chosen.objectives == (path.slos[1].id,)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("objectives: [authorisation-availability]", 'did you mean "authorization-availability"?; allowed: '),
        ("objectives: [nothing-like-it]", 'has no such objective: "nothing-like-it"; allowed:'),
        ("load: {per_second: 0, users: 5}", "load.per_second"),
        ("load: {per_second: 10}", "load.users: missing key"),
        ("load: {per_second: 10, users: 5, least_rate_ratio: '1.5'}", "load.least_rate_ratio"),
        ("duration: 2h", "duration"),
        ("duration: 60", "duration"),
        ("least_events: 0", "least_events"),
        ("warnings_fail: perhaps", "warnings_fail"),
        ("ledger_truth: maybe", "ledger_truth"),
        ("colour: red", "colour"),
    ],
)  # fmt: skip
def test_each_mistake_of_a_plan_is_named(tmp_path: Path, path: MoneyPath, line: str, said: str) -> None:
    """By file and line, with what is allowed."""
    file = write(tmp_path, line)
    with pytest.raises(DeclarationInvalid) as raised:
        load_target_gate(file, path)
    assert said in raised.value.what
    assert raised.value.what.startswith(f"{file}:")


def test_without_objectives_nothing_would_be_judged(tmp_path: Path, path: MoneyPath) -> None:
    """A declaration without any cannot be gated."""
    file = write(tmp_path)
    with pytest.raises(DeclarationInvalid, match=r"objectives: moneypath\.yaml declares no objective"):
        load_target_gate(file, path.model_copy(update={"slos": ()}))
