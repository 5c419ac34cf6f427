"""What the service has to have counted, worked out of what it answered."""

from collections import Counter

import pytest

from moneypath.oracle import Acknowledgement, Operation, Outcome
from moneypath.oracle.counted_answers import CountedAnswer, Result, count_answers

S, D, F = Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.FAILED
U, P, R = Outcome.UNKNOWN, Outcome.INDETERMINATE, Outcome.REJECTED
Told = tuple[int, Outcome, bool]


def told(status: int, outcome: Outcome, *, replayed: bool = False) -> Told:
    """Return one answer."""
    return status, outcome, replayed


def log_of(*answers: Told, operation: Operation = Operation.AUTHORIZE) -> list[Acknowledgement]:
    """Return the answers of one key, a second after each other."""
    return [
        Acknowledgement(float(at), operation, "key", "reference", None, 100, "EUR", status, outcome, replayed)
        for at, (status, outcome, replayed) in enumerate(answers)
    ]


def ranges(*answers: Told, operation: Operation = Operation.AUTHORIZE) -> dict[Result, tuple[int, int]]:
    """Return least and most for each result of one key."""
    least: Counter[Result] = Counter()
    most: Counter[Result] = Counter()
    for one in count_answers(log_of(*answers, operation=operation)):
        least[one.result] += one.least
        most[one.result] += 1
    return {result: (least[result], most[result]) for result in most}


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (told(201, S), Result.SUCCEEDED),
        (told(402, D), Result.DECLINED),
        (told(502, F), Result.FAILED),
        (told(503, U), Result.FAILED),
        (told(202, P), Result.INDETERMINATE),
        (told(422, R), Result.TURNED_AWAY),
        (told(403, R), Result.TURNED_AWAY),
    ],
)
def test_an_answer_counts_once(answer: Told, result: Result) -> None:
    """One answer, one payment, by the outcome that the client was told."""
    assert ranges(answer) == {result: (1, 1)}


def test_a_stored_answer_is_not_counted_again() -> None:
    """A repeated request with the stored answer moved nothing."""
    assert ranges(told(201, S), told(201, S, replayed=True)) == {Result.SUCCEEDED: (1, 1)}
    assert ranges(told(502, F), told(502, F, replayed=True)) == {Result.FAILED: (1, 1)}


def test_an_unknown_outcome_stays_counted_as_such_when_it_is_resolved() -> None:
    """The service counts the first outcome; the worker that resolves it counts nothing."""
    answers = (told(202, P), told(202, P), told(201, S, replayed=True))
    assert ranges(*answers) == {Result.INDETERMINATE: (1, 1)}


def test_a_read_is_no_payment() -> None:
    """Reading a payment answers 200, authorizing one 201; a capture answers 200."""
    assert ranges(told(202, P), told(200, S)) == {Result.INDETERMINATE: (1, 1)}
    assert ranges(told(200, S), operation=Operation.CAPTURE) == {Result.SUCCEEDED: (1, 1)}


def test_every_refused_request_of_a_free_key_counts() -> None:
    """503 leaves the key free, so each retry is counted."""
    assert ranges(told(503, U), told(503, U), told(201, S)) == {
        Result.FAILED: (2, 2), Result.SUCCEEDED: (1, 1),
    }  # fmt: skip


def test_a_request_without_an_answer_is_a_range() -> None:
    """It may have been counted as anything, or never have arrived; the next answer narrows it."""
    nothing = told(0, U)
    assert ranges(nothing) == dict.fromkeys(Result, (0, 1))
    assert ranges(nothing, told(201, S)) == {
        Result.FAILED: (0, 1), Result.TURNED_AWAY: (0, 1), Result.SUCCEEDED: (1, 1),
    }  # fmt: skip
    assert ranges(nothing, told(201, S, replayed=True)) == {
        Result.FAILED: (0, 1), Result.TURNED_AWAY: (0, 1),
        Result.SUCCEEDED: (0, 1), Result.INDETERMINATE: (0, 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "perhaps"),
    [
        (told(409, U), {Result.TURNED_AWAY}),
        (told(409, R), {Result.TURNED_AWAY}),
        (told(429, U), {Result.TURNED_AWAY, Result.FAILED}),
        (told(500, U), {Result.FAILED, Result.INDETERMINATE, Result.SUCCEEDED}),
    ],
)
def test_what_the_answer_does_not_tell_is_a_range(answer: Told, perhaps: set[Result]) -> None:
    """An earlier request in flight, one limit or another, an error page: counted or not."""
    assert ranges(answer) == dict.fromkeys(perhaps, (0, 1))


def test_an_error_after_an_operation_is_known_proves_nothing_more() -> None:
    """Once an operation of the key is known, an error of a later request counts at most."""
    assert ranges(told(202, P), told(503, U)) == {Result.INDETERMINATE: (1, 1), Result.FAILED: (0, 1)}
    assert ranges(told(202, P), told(500, U)) == {Result.INDETERMINATE: (1, 1)}


def test_a_read_alone_counts_nothing_and_hides_nothing() -> None:
    """What comes after a read is counted; a stored answer with 200 is no read."""
    assert ranges(told(200, S)) == {}
    assert ranges(told(200, S), told(201, S)) == {Result.SUCCEEDED: (1, 1)}
    assert ranges(told(0, U), told(200, S, replayed=True))[Result.SUCCEEDED] == (0, 1)


def test_what_comes_after_a_repeated_answer_is_counted() -> None:
    """An answer that says nothing new does not end the log of its key."""
    assert ranges(told(201, S), told(201, S, replayed=True), told(503, U)) == {
        Result.SUCCEEDED: (1, 1), Result.FAILED: (0, 1),
    }  # fmt: skip


def test_a_stored_rejection_explains_the_request_without_an_answer() -> None:
    """It was turned away, or failed before; nothing else may have been counted."""
    assert ranges(told(0, U), told(422, R, replayed=True)) == {
        Result.FAILED: (0, 1), Result.TURNED_AWAY: (0, 1),
    }  # fmt: skip


@pytest.mark.parametrize(("status", "result"), [(400, Result.TURNED_AWAY), (499, Result.TURNED_AWAY)])
def test_every_other_refusal_is_turned_away(status: int, result: Result) -> None:
    """From the first to the last status of its kind."""
    assert ranges(told(status, R)) == {result: (1, 1)}


@pytest.mark.parametrize("answer", [told(503, U), told(422, R), told(429, U), told(409, U), told(500, U)])
def test_what_is_counted_has_the_operation_and_the_instant_of_its_answer(answer: Told) -> None:
    """They say in which series, and in which scrape."""
    counted = list(count_answers(log_of(told(202, P), answer, operation=Operation.REFUND)))
    assert counted[0] == CountedAnswer(Operation.REFUND, Result.INDETERMINATE, 1, 0.0)
    assert {(one.operation, one.at) for one in counted[1:]} <= {(Operation.REFUND, 1.0)}
    first = list(count_answers(log_of(answer, operation=Operation.REFUND)))
    assert {(one.operation, one.at) for one in first} == {(Operation.REFUND, 0.0)}
