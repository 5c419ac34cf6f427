"""The life cycle of money in one table, which all planning and resolving goes through.

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


class Initiator(StrEnum):
    """Who initiates an operation. Only a merchant's operation has an idempotency key of its own."""

    MERCHANT = "merchant"
    WORKER = "worker"
    PROVIDER = "provider"
    OPERATOR = "operator"


# How long an operation is worked on, by its initiator.
DEADLINES: Final[Mapping[Initiator, str]] = {
    Initiator.MERCHANT: "the provider's outcome deadline, then asked with growing pauses",
    Initiator.WORKER: "until it is definitive",
    Initiator.PROVIDER: "none",
    Initiator.OPERATOR: "none",
}
_ANSWER: Final = "answer, query, webhook"
_NOTIFIED: Final = "webhook, settlement report"
_REPORTED: Final = f"{_ANSWER}, settlement report"
_TAKES_BACK: Final = "none: it takes back, and is sent until it is"


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of operation as a step of the saga: what makes it definitive, and what compensates it.

    `transitions` maps each status in which it may begin to those it leads to when it succeeds; one that does
    not succeed leaves the payment as it was, except for an authorization. It may not begin while one of
    `blocked_by` is unresolved. Its amount is added to `adds` (or taken from `subtracts`) on success, and to
    `reserves` until then.
    """

    initiated_by: Initiator
    call: CallKind | None
    compensation: str
    definitive: str = _ANSWER
    transitions: Mapping[PaymentStatus, frozenset[PaymentStatus]] = field(default_factory=dict)
    blocked_by: frozenset[OperationKind] = frozenset()
    reserves: str | None = None
    adds: str | None = None
    subtracts: str | None = None
    compensated_by: OperationKind | None = None


def _to(*statuses: PaymentStatus) -> frozenset[PaymentStatus]:
    return frozenset(statuses)


def _unchanged(*statuses: PaymentStatus) -> dict[PaymentStatus, frozenset[PaymentStatus]]:
    return {status: _to(status) for status in statuses}


_AFTER_CAPTURE: Final = _unchanged(_P.CAPTURED, _P.REFUNDED, _P.CHARGED_BACK)
_REFUNDS: Final = {_P.CAPTURED: _to(_P.CAPTURED, _P.REFUNDED), **_unchanged(_P.CHARGED_BACK)}
RELEASES: Final = frozenset({_K.VOID, _K.EXPIRY})


def _release(initiated_by: Initiator, ends_in: PaymentStatus, compensation: str) -> Step:
    transitions = {_P.AUTHORIZED: _to(ends_in), **_AFTER_CAPTURE}
    blocked_by = RELEASES | {_K.CAPTURE}
    return Step(
        initiated_by,
        CallKind.VOID,
        compensation,
        transitions=transitions,
        blocked_by=blocked_by,
        adds="released_minor",
    )


LIFE_CYCLE: Final[Mapping[OperationKind, Step]] = {
    _K.AUTHORIZE: Step(
        Initiator.MERCHANT,
        CallKind.AUTHORIZE,
        "undo_authorize, if it succeeded after we answered no",
        transitions={_P.AUTHORIZING: _to(_P.AUTHORIZED), _P.INDETERMINATE: _to(_P.AUTHORIZED)},
        compensated_by=_K.UNDO_AUTHORIZE,
    ),
    _K.CAPTURE: Step(
        Initiator.MERCHANT,
        CallKind.CAPTURE,
        "undo_capture, if it succeeded after we answered no",
        definitive=_REPORTED,
        transitions={
            **dict.fromkeys((_P.AUTHORIZED, _P.CAPTURED, _P.REFUNDED), _to(_P.CAPTURED)),
            _P.CHARGED_BACK: _to(_P.CHARGED_BACK),
        },
        blocked_by=RELEASES,
        reserves="capture_reserved_minor",
        adds="captured_minor",
        compensated_by=_K.UNDO_CAPTURE,
    ),
    _K.VOID: _release(Initiator.MERCHANT, _P.VOIDED, "none needed: what is released late is not captured"),
    _K.EXPIRY: _release(Initiator.WORKER, _P.EXPIRED, "none needed: asked for anew each hour, 24 times"),
    _K.REFUND: Step(
        Initiator.MERCHANT,
        CallKind.REFUND,
        "in suspense, if it succeeded after we answered no, until people decide on suspense_release",
        definitive=_REPORTED,
        transitions=_REFUNDS,
        reserves="refund_reserved_minor",
        adds="refunded_minor",
    ),
    _K.PAYOUT: Step(
        Initiator.MERCHANT,
        CallKind.PAYOUT,
        "none by machine; booked, if it succeeded after we answered no, and on record for people",
    ),
    _K.CHARGEBACK: Step(
        Initiator.PROVIDER,
        None,
        "chargeback_reversal, by the provider",
        definitive=_NOTIFIED,
        transitions=dict.fromkeys(_AFTER_CAPTURE, _to(_P.CHARGED_BACK)),
        adds="charged_back_minor",
    ),
    _K.CHARGEBACK_REVERSAL: Step(
        Initiator.PROVIDER,
        None,
        "a new chargeback",
        definitive=_NOTIFIED,
        transitions={_P.CHARGED_BACK: frozenset(_AFTER_CAPTURE)},
        subtracts="charged_back_minor",
    ),
    _K.UNDO_AUTHORIZE: Step(
        Initiator.WORKER, CallKind.VOID, _TAKES_BACK, transitions=_unchanged(_P.DECLINED, _P.FAILED)
    ),
    _K.UNDO_CAPTURE: Step(
        Initiator.WORKER,
        CallKind.REFUND,
        _TAKES_BACK,
        definitive=_REPORTED,
        transitions={**_unchanged(_P.AUTHORIZED, _P.VOIDED, _P.EXPIRED), **_AFTER_CAPTURE},
        blocked_by=RELEASES | {_K.CAPTURE},
    ),
    # It charges a late refund to its merchant.
    _K.SUSPENSE_RELEASE: Step(
        Initiator.OPERATOR,
        None,
        "none: two people approved it",
        definitive="as it is written",
        transitions=_REFUNDS,
        blocked_by=frozenset({_K.REFUND}),
        adds="refunded_minor",
    ),
}

# The statuses after an authorization that did not succeed.
NOT_AUTHORIZED: Final = _to(_P.INDETERMINATE, _P.DECLINED, _P.FAILED)

# The rule for the amounts of a payment in each status.
AMOUNT_RULES: Final[Mapping[PaymentStatus, Callable[[Payment], bool]]] = {
    **dict.fromkeys((_P.AUTHORIZING, *NOT_AUTHORIZED), lambda p: p.captured_minor == p.released_minor == 0),
    _P.AUTHORIZED: lambda p: p.captured_minor == 0 and p.released_minor < p.amount_minor,
    _P.VOIDED: lambda p: p.captured_minor == 0 and p.released_minor == p.amount_minor,
    _P.EXPIRED: lambda p: p.captured_minor == 0 and p.released_minor == p.amount_minor,
    _P.CAPTURED: lambda p: p.refunded_minor < p.captured_minor and p.charged_back_minor == 0,
    _P.REFUNDED: lambda p: 0 < p.refunded_minor == p.captured_minor and p.charged_back_minor == 0,
    _P.CHARGED_BACK: lambda p: p.charged_back_minor > 0,
}


def reserve(payment: Payment, kind: OperationKind, amount_minor: int) -> Payment:
    """Return the payment with an amount reserved for an operation that begins."""
    return _add(payment, LIFE_CYCLE[kind].reserves, amount_minor)


def use_up(payment: Payment, late: Operation) -> Payment:
    """Return the payment without the part of its hold that a late operation took: it cannot be used again."""
    taken = min(late.amount_minor, payment.held_minor)
    after = replace(payment, released_minor=payment.released_minor + taken)
    gone = after.status is _P.AUTHORIZED and after.released_minor == after.amount_minor
    ended = _P.EXPIRED if late.kind is _K.EXPIRY else _P.VOIDED
    return replace(after, status=ended) if gone else after


def apply_operation(payment: Payment, operation: Operation) -> Payment:
    """Return the payment after an operation took its new status.

    Raises InvariantViolation if the life cycle does not allow it.
    """
    step = LIFE_CYCLE[operation.kind]
    done = operation.status is OperationStatus.SUCCEEDED
    after = payment
    if operation.status.final:
        after = _add(after, step.reserves, -operation.amount_minor)
    if done:
        after = _add(_add(after, step.adds, operation.amount_minor), step.subtracts, -operation.amount_minor)
    after = replace(after, status=_status(after, operation))
    allowed = step.transitions.get(payment.status, frozenset()) if done else _to(payment.status)
    if operation.kind is _K.AUTHORIZE and not done and payment.status in step.transitions:
        allowed = NOT_AUTHORIZED
    if after.status not in allowed or not AMOUNT_RULES[after.status](after):
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
