"""Work out from a client's answers which payment operations the service has to have counted.

A service counts an operation once, by the outcome of its first attempt to carry it out. It counts neither a
stored answer that it repeats, nor a read. A request without an answer may have been counted or not, so
what depends on it is a range.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from moneypath.oracle.records import Acknowledgement, Operation, Outcome


class Result(StrEnum):
    """How a payment ended, as far as the client can tell one outcome from another by its answer."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    FAILED = "failed or shed"
    INDETERMINATE = "indeterminate"
    TURNED_AWAY = "rejected or blocked"


RESULT_OF_OUTCOME: Final[Mapping[str, Result]] = {
    "succeeded": Result.SUCCEEDED,
    "declined": Result.DECLINED,
    "failed": Result.FAILED,
    "shed": Result.FAILED,
    "indeterminate": Result.INDETERMINATE,
    "rejected": Result.TURNED_AWAY,
    "blocked": Result.TURNED_AWAY,
}
"""The result for each value of the label `outcome`."""
_DEFINITIVE: Final = {
    Outcome.SUCCEEDED: Result.SUCCEEDED,
    Outcome.DECLINED: Result.DECLINED,
    Outcome.FAILED: Result.FAILED,
}
# Refused before it is known what is asked for, or because of an earlier request: counted or not.
_PERHAPS_COUNTED: Final = frozenset((404, 405, 408, 409, 410, 413, 415))
_TOO_MANY, _UNAVAILABLE, _ACCEPTED, _READ = 429, 503, 202, 200


@dataclass(frozen=True, slots=True)
class CountedAnswer:
    """A payment that was counted `least` to 1 times with a result, at the instant of the answer."""

    operation: Operation
    result: Result
    least: int
    at: float


def count_answers(answers: Sequence[Acknowledgement]) -> Iterator[CountedAnswer]:
    """Yield what was counted for one idempotency key; its answers are in the order in which they came."""
    counted = unanswered = False
    for answer in answers:
        if answer.operation is Operation.AUTHORIZE and answer.status_code == _READ and not answer.replayed:
            continue
        if answer.status_code == 0:
            unanswered = True
            yield from _perhaps(answer, Result.FAILED, Result.TURNED_AWAY)
        elif answer.replayed or answer.outcome in _DEFINITIVE or answer.status_code == _ACCEPTED:
            if counted:
                continue
            result = _DEFINITIVE.get(answer.outcome, Result.INDETERMINATE)
            if not answer.replayed:
                yield CountedAnswer(answer.operation, result, 1, answer.at)
                counted = True
            elif unanswered and answer.outcome is Outcome.REJECTED:
                counted = True  # one of those that the request without an answer may have been
            elif unanswered:
                yield from _perhaps(answer, *{result, Result.INDETERMINATE})
                counted = True
        else:
            yield from _without_operation(answer, certain=not counted)
    if unanswered and not counted:
        yield from _perhaps(answers[-1], Result.SUCCEEDED, Result.DECLINED, Result.INDETERMINATE)


def _without_operation(answer: Acknowledgement, *, certain: bool) -> Iterator[CountedAnswer]:
    """Yield what is counted for a request that was turned away or met an error."""
    status = answer.status_code
    if status == _TOO_MANY:
        yield from _perhaps(answer, Result.FAILED, Result.TURNED_AWAY)
    elif status in _PERHAPS_COUNTED:
        yield from _perhaps(answer, Result.TURNED_AWAY)
    elif status == _UNAVAILABLE:
        yield CountedAnswer(answer.operation, Result.FAILED, int(certain), answer.at)
    elif 400 <= status < 500:
        yield CountedAnswer(answer.operation, Result.TURNED_AWAY, int(certain), answer.at)
    elif certain:
        # An error of the service itself, or an answer that nobody understands: it may have got anywhere.
        yield from _perhaps(answer, Result.FAILED, Result.INDETERMINATE, Result.SUCCEEDED)


def _perhaps(answer: Acknowledgement, *results: Result) -> Iterator[CountedAnswer]:
    for result in results:
        yield CountedAnswer(answer.operation, result, 0, answer.at)
