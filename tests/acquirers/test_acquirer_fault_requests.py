"""A bad fault body is refused with the key and its allowed values."""

import re
from typing import Any

import pytest

from acquirers.errors import InstructionInvalid
from acquirers.fault_requests import read_fault, read_lease
from acquirers.faults import Fault, FaultKind, Misstatement, Operation, Scope
from acquirers.operations import DeclineCode

GOOD: dict[str, Any] = {"kind": "refuse", "rate": 0.3, "lease_seconds": 60}


def test_a_short_body_has_defaults() -> None:
    """Seed 0, everybody in scope, money-moving operations."""
    assert read_fault(GOOD) == (Fault(FaultKind.REFUSE, 0.3), 60.0)


def test_a_full_body_is_read_whole() -> None:
    """Every key arrives in the fault."""
    body = {
        "kind": "decline", "rate": 1, "latency_seconds": 0.5, "lease_seconds": 600, "seed": 2**63 - 1,
        "scope": {"card_ranges": ["411111"], "currencies": ["JPY"], "operations": ["authorize", "query"]},
        "decline_code": "issuer_unavailable",
    }  # fmt: skip
    scope = Scope(
        frozenset({"411111"}), frozenset({"JPY"}), frozenset({Operation.AUTHORIZE, Operation.QUERY})
    )
    expected = Fault(FaultKind.DECLINE, 1.0, 2**63 - 1, 0.5, scope, DeclineCode.ISSUER_UNAVAILABLE)
    assert read_fault(body) == (expected, 600.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "explode"}, "kind: must be one of refuse, drop, hang, delay, decline"),
        ({"kind": None}, "kind: must be one of"),
        ({"rate": 1.01}, "rate: must be a number from 0 to 1"),
        ({"rate": -0.1}, "rate: must be"),
        ({"rate": True}, "rate: must be"),
        ({"rate": "0.5"}, "rate: must be"),
        ({"rate": float("nan")}, "rate: must be"),
        ({"rate": float("inf")}, "rate: must be"),
        ({"rate": None}, "rate: must be"),
        ({"latency_seconds": 30.1}, "latency_seconds: must be a number from 0 to 30"),
        ({"latency_seconds": -1}, "latency_seconds: must be"),
        ({"kind": "hang"}, "latency_seconds: hang needs"),
        ({"kind": "delay"}, "latency_seconds: delay needs"),
        ({"lease_seconds": 0}, "lease_seconds: must be over 0 and at most 600"),
        ({"lease_seconds": 600.1}, "lease_seconds: must be a number from 0 to 600"),
        ({"lease_seconds": None}, "lease_seconds: must be"),
        ({"seed": 1.5}, "seed: must be an integer"),
        ({"seed": -1}, "seed: must be"),
        ({"seed": True}, "seed: must be"),
        ({"sead": 1}, "sead: unknown key of the body; allowed: kind, rate"),
        ({"decline_code": "do_not_honor"}, "decline_code: only goes with kind decline"),
        ({"kind": "decline", "decline_code": "05"}, "decline_code: must be one of insufficient_funds"),
        ({"scope": []}, "scope: must be a JSON object"),
        ({"scope": None}, "scope: must be a JSON object"),
        ({"scope": {"range": []}}, "range: unknown key of scope; allowed: card_ranges, currencies, op"),
        ({"scope": {"card_ranges": "411111"}}, "scope.card_ranges: must be a list"),
        ({"scope": {"card_ranges": ["41111"]}}, "scope.card_ranges: each must be six digits"),
        ({"scope": {"card_ranges": [411111]}}, "scope.card_ranges: must be a list of texts"),
        ({"scope": {"card_ranges": ["411111"] * 101}}, "scope.card_ranges: must be a list of at most 100"),
        ({"scope": {"currencies": ["eur"]}}, "scope.currencies: each must be one of EUR, USD, JPY, KWD"),
        ({"scope": {"operations": ["cancel"]}}, "scope.operations: must be one of authorize, capture, refu"),
        ({"kind": "decline", "scope": {"operations": ["capture"]}}, "scope.operations: kind decline acts on"),
        (
            {"kind": "forget", "scope": {"operations": ["authorize"]}},
            "scope.operations: kind forget acts on capture and payout only",
        ),
        (
            {"kind": "misstate", "what": "fee", "scope": {"operations": ["query"]}},
            "scope.operations: kind misstate acts on capture and chargeback and chargeback_reversal and",
        ),
        ({"kind": "misstate"}, "what: must be one of amount, currency, fee, missing, duplicate"),
        ({"kind": "misstate", "what": "sign"}, "what: must be one of amount"),
        ({"what": "fee"}, "what: only goes with kind misstate"),
        ({"kind": "withhold"}, "rate: must be 1 for kind withhold"),
        (
            {"kind": "withhold", "rate": 1, "scope": {"currencies": ["EUR"]}},
            "scope.currencies: must be empty for kind withhold, which acts on whole reports",
        ),
        (
            {"kind": "truncate", "scope": {"card_ranges": ["411111"]}},
            "scope.card_ranges: must be empty for kind truncate",
        ),
    ],
)  # fmt: skip
def test_a_bad_fault_names_key_and_allowed_values(change: dict[str, Any], said: str) -> None:
    """Each key has its own refusal."""
    with pytest.raises(InstructionInvalid, match=f"^{re.escape(said)}"):
        read_fault(GOOD | change)


@pytest.mark.parametrize("what", list(Misstatement))
def test_report_faults_are_read(what: Misstatement) -> None:
    """A misstatement says what; whole reports take the scope that drills always send, without narrowing."""
    body = {**GOOD, "kind": "misstate", "what": what.value}
    assert read_fault(body) == (Fault(FaultKind.MISSTATE, 0.3, what=what), 60.0)
    operations = ["authorize", "capture", "refund"]
    scope = {"card_ranges": [], "currencies": [], "operations": operations}
    read = Scope(operations=frozenset(Operation(one) for one in operations))
    for kind in (FaultKind.WITHHOLD, FaultKind.TRUNCATE, FaultKind.FORGET):
        fault = Fault(kind, 1.0, scope=read)
        assert read_fault({**GOOD, "rate": 1, "kind": kind.value, "scope": scope}) == (fault, 60.0)


@pytest.mark.parametrize(
    "kind",
    [
        "webhook_lost",
        "webhook_late",
        "webhook_twice",
        "webhook_out_of_order",
        "webhook_replayed",
        "webhook_forged",
        "webhook_flood",
    ],
)
def test_webhook_faults_are_read(kind: str) -> None:
    """Those that wait say how long; none acts on queries, of which nobody is told."""
    timed = {"latency_seconds": 1} if kind in ("webhook_late", "webhook_out_of_order") else {}
    fault, _ = read_fault({**GOOD, **timed, "kind": kind})
    assert fault == Fault(FaultKind(kind), 0.3, latency_seconds=float(timed.get("latency_seconds", 0)))
    if timed:
        with pytest.raises(InstructionInvalid, match=f"latency_seconds: {kind} needs a number from 0 to 30"):
            read_fault({**GOOD, "kind": kind})
    with pytest.raises(InstructionInvalid, match=f"scope.operations: kind {kind} acts on"):
        read_fault({**GOOD, **timed, "kind": kind, "scope": {"operations": ["query"]}})


@pytest.mark.parametrize("body", [None, [], "x", {}, {"lease_seconds": 0}, {"lease_seconds": 1, "x": 1}])
def test_a_bad_renewal_is_refused(body: object) -> None:
    """A renewal holds lease_seconds and nothing else."""
    with pytest.raises(InstructionInvalid):
        read_lease(body)
    assert read_lease({"lease_seconds": 0.5}) == 0.5
