"""The life cycle of money in one table; whatever plans or settles goes through it.

The database's constraints say the same, and a test compares the two. `docs/guides/life-cycle.md` shows it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from refpay.errors import InvariantViolation
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment, PaymentStatus
from refpay.providers.port import CallKind

_P: Final = PaymentStatus
_K: Final = OperationKind


class Beginner(StrEnum):
    """Who begins an operation; only a merchant's has an idempotency key."""

    MERCHANT = "merchant"
    WORKER = "worker"
    PROVIDER = "provider"
    OPERATOR = "operator"


# Until when an operation is worked on, by who began it.
DEADLINES: Final[Mapping[Beginner, str]] = {
    Beginner.MERCHANT: "the provider's settle deadline, then asked with growing pauses",
    Beginner.WORKER: "until it is definitive",
    Beginner.PROVIDER: "none",
    Beginner.OPERATOR: "none",
}
_ANSWER: Final = "answer, query, webhook"
_TOLD: Final = "webhook, settlement report"
_REPORTED: Final = f"{_ANSWER}, settlement report"
_TAKES_BACK: Final = "none: it takes back, and is sent until it is"


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of operation, and one step of the saga: whose word ends it, and what takes it back.

    `moves` says in which statuses it may begin and where it leads when it is done; what is not done leaves
    the payment as it was, but for an authorization. While one of `waits_for` is unresolved it may not begin.
    Its amount is added to `adds` (or taken off `takes_off`) when done, and kept in `reserves` until then.
    """

    begun_by: Beginner
    call: CallKind | None
    compensation: str
    definitive: str = _ANSWER
    moves: Mapping[PaymentStatus, frozenset[PaymentStatus]] = field(default_factory=dict)
    waits_for: frozenset[OperationKind] = frozenset()
    reserves: str | None = None
    adds: str | None = None
    takes_off: str | None = None
    undone_by: OperationKind | None = None


def _to(*statuses: PaymentStatus) -> frozenset[PaymentStatus]:
    return frozenset(statuses)


def _stays(*statuses: PaymentStatus) -> dict[PaymentStatus, frozenset[PaymentStatus]]:
    return {status: _to(status) for status in statuses}


_AFTER_CAPTURE: Final = _stays(_P.CAPTURED, _P.REFUNDED, _P.CHARGED_BACK)
_REFUNDS: Final = {_P.CAPTURED: _to(_P.CAPTURED, _P.REFUNDED), **_stays(_P.CHARGED_BACK)}
RELEASES: Final = frozenset({_K.VOID, _K.EXPIRY})


def _release(begun_by: Beginner, ends_in: PaymentStatus, compensation: str) -> Step:
    moves = {_P.AUTHORIZED: _to(ends_in), **_AFTER_CAPTURE}
    waits_for = RELEASES | {_K.CAPTURE}
    return Step(
        begun_by, CallKind.VOID, compensation, moves=moves, waits_for=waits_for, adds="released_minor"
    )


LIFE_CYCLE: Final[Mapping[OperationKind, Step]] = {
    _K.AUTHORIZE: Step(
        Beginner.MERCHANT,
        CallKind.AUTHORIZE,
        "undo_authorize, if done after we said no",
        moves={_P.AUTHORIZING: _to(_P.AUTHORIZED), _P.INDETERMINATE: _to(_P.AUTHORIZED)},
        undone_by=_K.UNDO_AUTHORIZE,
    ),
    _K.CAPTURE: Step(
        Beginner.MERCHANT,
        CallKind.CAPTURE,
        "undo_capture, if done after we said no",
        definitive=_REPORTED,
        moves={
            **dict.fromkeys((_P.AUTHORIZED, _P.CAPTURED, _P.REFUNDED), _to(_P.CAPTURED)),
            _P.CHARGED_BACK: _to(_P.CHARGED_BACK),
        },
        waits_for=RELEASES,
        reserves="capture_reserved_minor",
        adds="captured_minor",
        undone_by=_K.UNDO_CAPTURE,
    ),
    _K.VOID: _release(Beginner.MERCHANT, _P.VOIDED, "none needed: what is released late is not captured"),
    _K.EXPIRY: _release(Beginner.WORKER, _P.EXPIRED, "none needed: asked for anew each hour, 24 times"),
    _K.REFUND: Step(
        Beginner.MERCHANT,
        CallKind.REFUND,
        "in suspense, if done after we said no, until people decide on suspense_release",
        definitive=_REPORTED,
        moves=_REFUNDS,
        reserves="refund_reserved_minor",
        adds="refunded_minor",
    ),
    _K.PAYOUT: Step(
        Beginner.MERCHANT,
        CallKind.PAYOUT,
        "none by machine; booked, if done after we said no, and on record for people",
    ),
    _K.CHARGEBACK: Step(
        Beginner.PROVIDER,
        None,
        "chargeback_reversal, by the provider",
        definitive=_TOLD,
        moves=dict.fromkeys(_AFTER_CAPTURE, _to(_P.CHARGED_BACK)),
        adds="charged_back_minor",
    ),
    _K.CHARGEBACK_REVERSAL: Step(
        Beginner.PROVIDER,
        None,
        "a new chargeback",
        definitive=_TOLD,
        moves={_P.CHARGED_BACK: frozenset(_AFTER_CAPTURE)},
        takes_off="charged_back_minor",
    ),
    _K.UNDO_AUTHORIZE: Step(
        Beginner.WORKER, CallKind.VOID, _TAKES_BACK, moves=_stays(_P.DECLINED, _P.FAILED)
    ),
    _K.UNDO_CAPTURE: Step(
        Beginner.WORKER,
        CallKind.REFUND,
        _TAKES_BACK,
        definitive=_REPORTED,
        moves={**_stays(_P.AUTHORIZED, _P.VOIDED, _P.EXPIRED), **_AFTER_CAPTURE},
        waits_for=RELEASES | {_K.CAPTURE},
    ),
    # A refund that came too late is its merchant's after all.
    _K.SUSPENSE_RELEASE: Step(
        Beginner.OPERATOR,
        None,
        "none: two persons said so",
        definitive="as it is written",
        moves=_REFUNDS,
        waits_for=frozenset({_K.REFUND}),
        adds="refunded_minor",
    ),
}

# What an authorization that is not done leads to.
NOT_AUTHORIZED: Final = _to(_P.INDETERMINATE, _P.DECLINED, _P.FAILED)

# What the amounts of a payment are in each status.
SHAPES: Final[Mapping[PaymentStatus, Callable[[Payment], bool]]] = {
    **dict.fromkeys((_P.AUTHORIZING, *NOT_AUTHORIZED), lambda p: p.captured_minor == p.released_minor == 0),
    _P.AUTHORIZED: lambda p: p.captured_minor == 0 and p.released_minor < p.amount_minor,
    _P.VOIDED: lambda p: p.captured_minor == 0 and p.released_minor == p.amount_minor,
    _P.EXPIRED: lambda p: p.captured_minor == 0 and p.released_minor == p.amount_minor,
    _P.CAPTURED: lambda p: p.refunded_minor < p.captured_minor and p.charged_back_minor == 0,
    _P.REFUNDED: lambda p: 0 < p.refunded_minor == p.captured_minor and p.charged_back_minor == 0,
    _P.CHARGED_BACK: lambda p: p.charged_back_minor > 0,
}


def reserve(payment: Payment, kind: OperationKind, amount_minor: int) -> Payment:
    """Return the payment with an amount set aside for an operation that begins."""
    return _add(payment, LIFE_CYCLE[kind].reserves, amount_minor)


def use_up(payment: Payment, late: Operation) -> Payment:
    """Return the payment without what came too late took of its hold: nobody can capture or release that."""
    taken = min(late.amount_minor, payment.held_minor)
    after = replace(payment, released_minor=payment.released_minor + taken)
    gone = after.status is _P.AUTHORIZED and after.released_minor == after.amount_minor
    ended = _P.EXPIRED if late.kind is _K.EXPIRY else _P.VOIDED
    return replace(after, status=ended) if gone else after


def move(payment: Payment, operation: Operation) -> Payment:
    """Return the payment after an operation took its new status; raises InvariantViolation if it may not."""
    step = LIFE_CYCLE[operation.kind]
    done = operation.status is OperationStatus.SUCCEEDED
    after = payment
    if operation.status.final:
        after = _add(after, step.reserves, -operation.amount_minor)
    if done:
        after = _add(_add(after, step.adds, operation.amount_minor), step.takes_off, -operation.amount_minor)
    after = replace(after, status=_status(after, operation))
    allowed = step.moves.get(payment.status, frozenset()) if done else _to(payment.status)
    if operation.kind is _K.AUTHORIZE and not done and payment.status in step.moves:
        allowed = NOT_AUTHORIZED
    if after.status not in allowed or not SHAPES[after.status](after):
        raise InvariantViolation(
            f"{operation.kind} {operation.status} leads from {payment.status} to {after.status}, "
            f"which the life cycle does not allow: {operation.id}"
        )
    return after


def _status(after: Payment, operation: Operation) -> PaymentStatus:
    if operation.kind is _K.AUTHORIZE:
        done = operation.status is OperationStatus.SUCCEEDED
        return _P.AUTHORIZED if done else PaymentStatus(operation.status.value)
    if operation.status is not OperationStatus.SUCCEEDED:
        return after.status
    if after.charged_back_minor:
        return _P.CHARGED_BACK
    if after.captured_minor:
        return _P.REFUNDED if after.refunded_minor == after.captured_minor else _P.CAPTURED
    if operation.kind in RELEASES:
        return _P.VOIDED if operation.kind is _K.VOID else _P.EXPIRED
    return after.status


def _add(payment: Payment, name: str | None, amount_minor: int) -> Payment:
    if name is None:
        return payment
    changed: dict[str, Any] = {name: getattr(payment, name) + amount_minor}
    return replace(payment, **changed)
