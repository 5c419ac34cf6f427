"""A capture made twice and given back whole is repaired; anything less is still a double charge."""

import pytest

from moneypath.oracle import (
    Acknowledgement,
    Charge,
    ChargeStatus,
    DiscrepancyKind,
    Operation,
    Outcome,
    PostingLine,
    find_discrepancies,
)

from .world import replace


def _charge(seq: int, operation: Operation, key: str, ours: str, parent: str, minor: int = 1000) -> Charge:
    status = ChargeStatus.CAPTURED if operation is Operation.CAPTURE else ChargeStatus.REFUNDED
    return Charge(
        "north", seq, key, operation, "order-1", minor, "EUR", "411111", status, ours, float(seq), parent
    )


def _lines(entry: str, kind: str, key: str, minor: int) -> tuple[PostingLine, ...]:
    accounts = (("provider_receivable:north", minor), ("merchant_payable:shop", -minor))
    return tuple(
        PostingLine(
            entry,
            kind,
            f"op-{key}",
            "north",
            key,
            "pay-1",
            "order-1",
            key,
            account,
            "EUR",
            amount,
            1.0,
            "shop",
        )
        for account, amount in accounts
    )


def _asked(operation: Operation, key: str) -> Acknowledgement:
    return Acknowledgement(
        1.0, operation, key, "order-1", None, 1000, "EUR", 0, Outcome.UNKNOWN, False, "shop"
    )


HOLD = replace(_charge(5, Operation.AUTHORIZE, "hold-key", "auth_1", ""), status=ChargeStatus.APPROVED)
ASKED = (_asked(Operation.CAPTURE, "capture-key"), _asked(Operation.REFUND, "repair-key"))
FIRST = _charge(1, Operation.CAPTURE, "capture-key", "cap_1", "auth_1")
SECOND = _charge(2, Operation.CAPTURE, "capture-key", "cap_2", "auth_1")
REPAIR = _charge(3, Operation.REFUND, "repair-key", "ref_1", "cap_1")
POSTED = _lines("e1", "posting", "capture-key", 1000)


def _kinds(*charges: Charge, postings: tuple[PostingLine, ...] = POSTED) -> set[DiscrepancyKind]:
    return {found.kind for found in find_discrepancies(postings, (HOLD, *charges), ASKED)}


def test_a_double_charge_that_stands_is_found() -> None:
    """Without any repair both kinds of double are named."""
    assert _kinds(FIRST, SECOND) == {
        DiscrepancyKind.KEY_CHARGED_TWICE,
        DiscrepancyKind.REFERENCE_CHARGED_TWICE,
    }


@pytest.mark.parametrize("parent", ["cap_1", "cap_2"])
def test_a_double_charge_that_was_given_back_is_whole(parent: str) -> None:
    """Whichever of the two the refund names, one capture and its posting are left."""
    assert _kinds(FIRST, SECOND, replace(REPAIR, parent=parent)) == set()


def test_parts_that_sum_up_to_the_whole_repair_it() -> None:
    """Two halves are a whole."""
    halves = (replace(REPAIR, amount_minor=400), replace(REPAIR, seq=4, key="repair-2", amount_minor=600))
    assert _kinds(FIRST, SECOND, *halves) == set()


@pytest.mark.parametrize(
    "repair",
    [
        replace(REPAIR, amount_minor=999),
        replace(REPAIR, currency="USD"),
        replace(REPAIR, parent=""),
        replace(REPAIR, parent="cap_9"),
        replace(REPAIR, provider="south"),
        replace(REPAIR, status=ChargeStatus.REFUSED),
    ],
    ids=["too little", "other currency", "of nothing", "of another", "elsewhere", "refused"],
)
def test_what_does_not_give_it_back_repairs_nothing(repair: Charge) -> None:
    """The customer is still charged twice."""
    assert DiscrepancyKind.KEY_CHARGED_TWICE in _kinds(FIRST, SECOND, repair)


def test_the_merchants_own_refund_repairs_nothing() -> None:
    """It is in the ledger: it gives back the sale, and the double still stands."""
    postings = (*POSTED, *_lines("e2", "reversal", "repair-key", -1000))
    assert DiscrepancyKind.KEY_CHARGED_TWICE in _kinds(FIRST, SECOND, REPAIR, postings=postings)


def test_giving_both_back_is_no_repair() -> None:
    """The sale was good: a second refund without a posting is money that nobody accounts for."""
    second = replace(REPAIR, seq=4, key="repair-2", parent="cap_2")
    assert DiscrepancyKind.CAPTURE_WITHOUT_POSTING in _kinds(FIRST, SECOND, REPAIR, second)


def test_a_single_capture_that_was_given_back_without_posting_is_found() -> None:
    """There is no double here, so there is nothing to repair."""
    assert _kinds(FIRST, REPAIR) == {DiscrepancyKind.CAPTURE_WITHOUT_POSTING}
