"""What the clients asked for: their requests, the answers to them, and as whom they acted."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter

from moneypath.oracle.records import Acknowledgement, Operation, Outcome, Request

_Key = tuple[Operation, str]
# What makes two requests the same one.
_Content = tuple[Operation, str, str, str, int, str]


@dataclass(frozen=True, slots=True)
class Requests:
    """The clients' requests and answers.

    `answers` has every answer of a key in order; a request without one counts as answered with `unknown`.
    `references` has the merchant reference of each key that was asked for, `merchants` as whom a client
    acted, by reference, and `payouts_at` when a payout was first asked for. `unasked` are answers to requests
    that no client recorded.
    """

    answers: Mapping[_Key, list[Acknowledgement]]
    references: Mapping[_Key, str]
    merchants: Mapping[str, str]
    payouts_at: Mapping[str, float]
    unasked: tuple[Acknowledgement, ...]
    sent: int
    unanswered: int


def read_requests(answers: Iterable[Acknowledgement], requests: Iterable[Request] | None) -> Requests:
    """Index requests and answers; without `requests`, an answer alone shows that something was asked."""
    by_key: dict[_Key, list[Acknowledgement]] = {}
    open_requests: dict[_Content, int] = {}
    references: dict[_Key, str] = {}
    merchants: dict[str, str] = {}
    payouts_at: dict[str, float] = {}
    unasked: list[Acknowledgement] = []
    recorded = requests is not None
    sent = 0
    for request in requests or ():
        sent += 1
        content = _content(request)
        open_requests[content] = open_requests.get(content, 0) + 1
        _note(request, references, merchants, payouts_at)
    for answer in answers:
        key = answer.operation, answer.idempotency_key
        given = by_key.get(key)
        if given is None:
            by_key[key] = [answer]
        else:
            given.append(answer)
        if not recorded:
            sent += 1
            _note(answer, references, merchants, payouts_at)
            continue
        content = _content(answer)
        left = open_requests.get(content, 0)
        if left > 1:
            open_requests[content] = left - 1
        elif left:
            del open_requests[content]
        else:
            unasked.append(answer)
    for content in open_requests:
        by_key.setdefault((content[0], content[1]), []).append(_open_answer(content))
    unanswered = sum(open_requests.values())
    return Requests(by_key, references, merchants, payouts_at, tuple(unasked), sent, unanswered)


_content: Callable[[Request | Acknowledgement], _Content] = attrgetter(
    "operation", "idempotency_key", "merchant_reference", "merchant", "amount_minor", "currency"
)


def _note(
    row: Request | Acknowledgement,
    references: dict[_Key, str],
    merchants: dict[str, str],
    payouts_at: dict[str, float],
) -> None:
    references.setdefault((row.operation, row.idempotency_key), row.merchant_reference)
    if row.merchant:
        merchants.setdefault(row.merchant_reference, row.merchant)
    if row.operation is Operation.PAYOUT:
        payouts_at.setdefault(row.idempotency_key, row.at)


def _open_answer(content: _Content) -> Acknowledgement:
    operation, key, reference, merchant, amount_minor, currency = content
    return Acknowledgement(
        0.0, operation, key, reference, None, amount_minor, currency, 0, Outcome.UNKNOWN, False, merchant
    )
