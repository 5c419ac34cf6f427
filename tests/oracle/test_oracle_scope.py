"""What an audit leaves to another one, what it need not see yet, and what merchants owe in the end."""

import pytest

from moneypath.oracle import LoadDriven, Scope, audit

from .world import (
    AUTHORIZE,
    CAPTURE,
    CHARGEBACK,
    KIND,
    PAYOUT,
    Rows,
    Step,
    paid,
    replace,
    report,
    whole_world,
)


def test_movements_from_before_the_first_request_are_left_to_another_audit() -> None:
    """Nobody has the requests of that time; from then on every movement is asked for."""
    early = replace(Step("early", CAPTURE, at=9.0).done(), answers=())
    rows = Step("early", AUTHORIZE, at=8.0).done() + early
    assert rows.found() == {(KIND.MOVED_UNASKED, "early")}
    assert rows.found(scope=Scope(asked_since=9.5)) == set()
    assert rows.found(scope=Scope(asked_since=9.0)) == {(KIND.MOVED_UNASKED, "early")}


@pytest.mark.parametrize(("served_at", "whole"), [(99.0, False), (100.0, False), (100.5, True)])
def test_a_report_that_was_served_just_now_need_not_be_booked(served_at: float, whole: bool) -> None:
    """Until the limit it has to be; after it, it may be and may not."""
    scope = Scope(reports_until=100.0)
    served = report(1, {"EUR": 17}, {"USD": -5, "EUR": 4}, at=served_at)
    assert served.found(scope=scope) == set()
    unbooked = replace(served, postings=())
    assert (unbooked.found(scope=scope) == set()) is whole


def test_a_correction_that_was_served_just_now_may_be_booked_or_not() -> None:
    """The version before it counts as well, and nothing else does."""
    scope = Scope(reports_until=100.0)
    first, second = report(1, {"EUR": 17}, at=50.0), report(1, {"EUR": 12}, at=101.0)
    served = first.reports + second.reports
    assert replace(first, reports=served).found(scope=scope) == set()
    assert replace(second, reports=served).found(scope=scope) == set()
    other = replace(report(1, {"EUR": 13}), reports=served)
    assert other.found(scope=scope) == {(KIND.FEE_DIFFERS, "north report 1")}


def test_a_report_that_was_cut_off_takes_nothing() -> None:
    """The service could not read it, so it has nothing to book."""
    (cut,) = report(1).reports
    assert Rows(reports=(replace(cut, fees=(("EUR", 9),), whole=False),)).found() == set()


def test_a_chargeback_after_a_payout_leaves_a_debt() -> None:
    """It is a number in the report and no discrepancy."""
    rows = paid("a") + Step("p", PAYOUT, minor=900, at=10.0).done()
    rows += Step("a", CHARGEBACK, minor=300, at=20.0).done()
    found = audit(rows.postings, rows.book, rows.answers)
    assert found.whole
    assert [(one.merchant, one.currency, one.owed_minor) for one in found.debts] == [("shop", "EUR", -200)]
    assert "owed to shop: -200 EUR" in found.summary()


@pytest.mark.parametrize(("asked", "fits"), [(49, False), (50, True), (110, True), (112, False)])
def test_a_load_is_the_planned_one_within_its_limits(asked: int, fits: bool) -> None:
    """A slow service makes clients ask for less; twice the load is another test."""
    assert (LoadDriven(planned=100, asked=asked).problem == "") is fits


def test_a_world_owes_what_its_entries_say() -> None:
    """By merchant and currency, in the report's balances."""
    rows = whole_world()
    found = audit(rows.postings, rows.book, rows.answers, requests=rows.requests, reports=rows.reports)
    owed = {one.currency: one.owed_minor for one in found.balances}
    assert owed == {"EUR": 1000 + 1000 - 1000 + 1000 - 800 - 250, "USD": 2000 + 500 - 700}
    assert found.debts == ()
