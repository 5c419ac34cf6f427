"""Faults an operator can switch on: what they do, whom they hit, and how long they may live."""

import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from acquirers.errors import FaultsTooMany, FaultUnknown
from acquirers.issuer import draw
from acquirers.operations import DeclineCode

FAULTS_MAX: Final = 100


class FaultKind(StrEnum):
    """What a fault does to an operation, or to a settlement report as it is served."""

    REFUSE = "refuse"  # 503 at once, nothing happened
    DROP = "drop"  # it happened, then the connection closes without an answer
    HANG = "hang"  # it happened, then silence, then the connection closes
    DELAY = "delay"  # it happened, the answer comes late
    DECLINE = "decline"  # the issuer says no
    FORGET = "forget"  # a capture or payout happens in silence, and again when its key is sent again
    MISSTATE = "misstate"  # a report's line is wrong
    WITHHOLD = "withhold"  # no further report is published
    TRUNCATE = "truncate"  # a report ends in its middle
    WEBHOOK_LOST = "webhook_lost"  # the merchant is never told
    WEBHOOK_LATE = "webhook_late"  # the merchant is told late
    WEBHOOK_TWICE = "webhook_twice"  # the merchant is told twice
    WEBHOOK_OUT_OF_ORDER = "webhook_out_of_order"  # the merchant is told of something later first


class Misstatement(StrEnum):
    """What is wrong with a misstated line of a report."""

    AMOUNT = "amount"
    CURRENCY = "currency"
    FEE = "fee"
    MISSING = "missing"
    DUPLICATE = "duplicate"


class Operation(StrEnum):
    """What a fault can act on."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    REFUND = "refund"
    VOID = "void"
    PAYOUT = "payout"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSAL = "chargeback_reversal"
    QUERY = "query"


REPORT_KINDS: Final = frozenset({FaultKind.MISSTATE, FaultKind.WITHHOLD, FaultKind.TRUNCATE})
WEBHOOK_KINDS: Final = frozenset(kind for kind in FaultKind if kind.startswith("webhook_"))
OPERATION_KINDS: Final = frozenset(FaultKind) - REPORT_KINDS - WEBHOOK_KINDS
# Merchants ask for these; a query moves nothing.
_REQUESTED: Final = frozenset(
    {Operation.AUTHORIZE, Operation.CAPTURE, Operation.REFUND, Operation.VOID, Operation.PAYOUT}
)
_CASES: Final = frozenset({Operation.CHARGEBACK, Operation.CHARGEBACK_REVERSAL})
# Which operations some kinds are about; the others act on all. A misstatement acts on their lines.
ACTS_ON: Final[Mapping[FaultKind, frozenset[Operation]]] = {
    FaultKind.DECLINE: frozenset({Operation.AUTHORIZE}),
    FaultKind.FORGET: frozenset({Operation.CAPTURE, Operation.PAYOUT}),
    FaultKind.MISSTATE: _CASES | {Operation.CAPTURE, Operation.REFUND},
    **dict.fromkeys(WEBHOOK_KINDS, _CASES | _REQUESTED),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a request is about, as far as faults look at it; `card_range` is empty when unknown."""

    operation: Operation
    reference: str
    currency: str
    card_range: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a fault may hit; an empty set means everybody."""

    card_ranges: frozenset[str] = frozenset()
    currencies: frozenset[str] = frozenset()
    operations: frozenset[Operation] = _REQUESTED | _CASES

    def covers(self, subject: Subject) -> bool:
        """Say whether the subject is within the scope."""
        return (
            (not self.operations or subject.operation in self.operations)
            and (not self.currencies or subject.currency in self.currencies)
            and (not self.card_ranges or subject.card_range in self.card_ranges)
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault as ordered. `rate` is the share of merchant references from 0 to 1 (truncate: of reports).

    All requests of one reference share one draw, so a payment's retries fail alike; two faults of one
    seed share it too, so their rates nest instead of multiplying.
    """

    kind: FaultKind
    rate: float
    seed: int = 0
    latency_seconds: float = 0.0
    scope: Scope = Scope()
    decline_code: DeclineCode = DeclineCode.DO_NOT_HONOR
    what: Misstatement | None = None

    def hits(self, subject: Subject) -> bool:
        """Say whether the fault applies: in scope, and drawn."""
        if subject.operation not in ACTS_ON.get(self.kind, Operation):
            return False
        return self.scope.covers(subject) and self.draws(subject.reference)

    def draws(self, reference: str) -> bool:
        """Say whether the reference is in the share hit."""
        return draw(self.seed, reference) < self.rate


@dataclass(slots=True)
class Lease:
    """An active fault: it ends by itself at `expires_at` (seconds of the board's clock)."""

    id: str
    fault: Fault
    expires_at: float
    hits: int = 0


class FaultBoard:
    """The active faults in the order of their arrival; all in memory, so a restart heals everything."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._leases: dict[str, Lease] = {}

    def add(self, fault: Fault, lease_seconds: float) -> Lease:
        """Activate a fault; raises FaultsTooMany."""
        self._drop_expired()
        if len(self._leases) >= FAULTS_MAX:
            raise FaultsTooMany(f"{FAULTS_MAX} faults are active: DELETE /control/faults clears them")
        # Random, not counted: an undo kept from before a restart must never hit a newer fault.
        lease = Lease(secrets.token_hex(8), fault, self._clock() + lease_seconds)
        self._leases[lease.id] = lease
        return lease

    def renew(self, fault_id: str, lease_seconds: float) -> Lease:
        """Let a fault end `lease_seconds` from now; raises FaultUnknown, also when it has expired."""
        self._drop_expired()
        lease = self._leases.get(fault_id)
        if lease is None:
            raise FaultUnknown("no active fault has this id: it was cleared or its lease ran out")
        lease.expires_at = self._clock() + lease_seconds
        return lease

    def clear(self, fault_id: str | None = None) -> int:
        """End one fault, or all; return how many were active."""
        self._drop_expired()
        if fault_id is not None:
            return 0 if self._leases.pop(fault_id, None) is None else 1
        count = len(self._leases)
        self._leases.clear()
        return count

    def match(self, subject: Subject, kinds: Collection[FaultKind] = OPERATION_KINDS) -> Lease | None:
        """Return the first active fault of these kinds that hits the subject."""
        matching = (lease for lease in self.active() if lease.fault.kind in kinds)
        return next((lease for lease in matching if lease.fault.hits(subject)), None)

    def active(self) -> list[Lease]:
        """Return the active faults, oldest first."""
        self._drop_expired()
        return list(self._leases.values())

    def remaining_seconds(self, lease: Lease) -> float:
        """Return how long the lease still runs, at least 0."""
        return max(0.0, lease.expires_at - self._clock())

    def _drop_expired(self) -> None:
        now = self._clock()
        for fault_id in [lease.id for lease in self._leases.values() if lease.expires_at <= now]:
            del self._leases[fault_id]
