"""Corners of the audit in which a mutation went unnoticed: nothing healthy is reported, every lie is."""

import pytest

from moneypath.oracle.payable import PayableAccount, Payout, find_uncovered_payouts
from moneypath.oracle.records import Acknowledgement, Outcome, Request
from moneypath.oracle.requests import read_requests

from .corner_lies import CORNER_LIES, CORNER_TRUTHS
from .world import CAPTURE, PAYOUT, Step, request_of


@pytest.mark.parametrize("name", CORNER_TRUTHS)
def test_a_truth_in_a_corner_is_not_reported(name: str) -> None:
    """What may happen in a healthy service, at the edge of a limit or in an unusual order."""
    assert CORNER_TRUTHS[name].audit() == ()


@pytest.mark.parametrize("name", CORNER_LIES)
def test_a_lie_in_a_corner_is_reported(name: str) -> None:
    """What is told of it stands in `told_of_lies.txt`."""
    assert CORNER_LIES[name].audit()


def test_every_request_is_counted_and_answered_or_open() -> None:
    """A request that was sent again needs an answer of its own; the last one without an answer is open."""
    step, other = Step("a", CAPTURE, at=3.0), Step("b", PAYOUT, at=4.0)
    sent = [request_of(step.answer())] * 3 + [request_of(other.answer())] * 2
    read = read_requests([step.answer(), step.answer(Outcome.UNKNOWN)], sent)
    assert (read.sent, read.unanswered, read.unasked) == (5, 3, ())
    open_capture, open_payout = (
        Acknowledgement(0.0, one.operation, one.client_key, one.reference, None, 1000, "EUR", 0,
                        Outcome.UNKNOWN, False, "shop")
        for one in (step, other)
    )  # fmt: skip
    assert read.answers[CAPTURE, step.client_key] == [
        step.answer(),
        step.answer(Outcome.UNKNOWN),
        open_capture,
    ]
    assert read.answers[PAYOUT, other.client_key] == [open_payout]
    assert read.payouts_at == {other.client_key: 4.0}


def test_answers_alone_are_counted_as_requests() -> None:
    """Without a record of requests each answer stands for one."""
    read = read_requests([Step("a", CAPTURE).answer()] * 3, None)
    assert (read.sent, read.unanswered, read.unasked) == (3, 0, ())


def test_an_answer_beyond_the_requests_is_not_asked_for() -> None:
    """Two answers to one request: the second belongs to none on record."""
    answer = Step("a", CAPTURE).answer()
    sent: list[Request] = [request_of(answer)]
    assert read_requests([answer, answer], sent).unasked == (answer,)
    assert read_requests([answer, answer], sent * 2).unasked == ()


def test_parts_of_an_account_add_up() -> None:
    """Credits, debits, payouts and totals of both parts count, what 64 bits cannot hold included."""
    first, second = PayableAccount(), PayableAccount()
    for account, at in ((first, 1.0), (second, 2.0)):
        account.credits.add(at, 1000)
        account.credits.add(at, 2**70)
        account.debits.add(at, -300)
    second.payouts.append(Payout("entry", "p", 1400 + 2**71, 3.0, 3.0))
    first.extend(second)
    assert first.owed_minor == 0
    assert list(find_uncovered_payouts({("shop", "EUR"): first})) == []
    first.payouts.append(Payout("entry", "q", 1, 4.0, 4.0))
    (found,) = find_uncovered_payouts({("shop", "EUR"): first})
    assert (found.subject, found.amount_minor) == ("q", 1)
    assert first.owed_minor == -1
