"""Faults that an operator can switch on: their effect, their scope, and their lifetime."""

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
    """The effect of a fault on an operation, on a settlement report, or on a webhook."""

    REFUSE = "refuse"  # 503 at once, nothing happened
    DROP = "drop"  # it happened, then the connection closes without an answer
    HANG = "hang"  # it happened, then silence, then the connection closes
    DELAY = "delay"  # it happened, the answer comes late
    DECLINE = "decline"  # the issuer declines
    FORGET = "forget"  # a capture or payout happens in silence, and again when its key is sent again
    MISSTATE = "misstate"  # a report's line is wrong
    WITHHOLD = "withhold"  # no further report is published
    TRUNCATE = "truncate"  # a report ends in its middle
    WEBHOOK_LOST = "webhook_lost"  # the webhook is never sent
    WEBHOOK_LATE = "webhook_late"  # the webhook is sent late
    WEBHOOK_TWICE = "webhook_twice"  # the webhook is sent twice
    WEBHOOK_OUT_OF_ORDER = "webhook_out_of_order"  # the webhook of a later event is sent first
    # Somebody else sends more beside it, in this acquirer's name:
    WEBHOOK_REPLAYED = "webhook_replayed"  # an accepted request again, as it was signed
    WEBHOOK_FORGED = "webhook_forged"  # requests that name its key and are not signed with it
    WEBHOOK_FLOOD = "webhook_flood"  # more unsigned requests than a merchant takes


class Misstatement(StrEnum):
    """What is wrong in a misstated line of a report."""

    AMOUNT = "amount"
    CURRENCY = "currency"
    FEE = "fee"
    MISSING = "missing"
    DUPLICATE = "duplicate"


class Operation(StrEnum):
    """The operations on which a fault can act."""

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
# Merchants order these. A query moves no money.
_REQUESTED: Final = frozenset(
    {Operation.AUTHORIZE, Operation.CAPTURE, Operation.REFUND, Operation.VOID, Operation.PAYOUT}
)
_CASES: Final = frozenset({Operation.CHARGEBACK, Operation.CHARGEBACK_REVERSAL})
# The operations on which a kind acts; other kinds act on all. A misstatement acts on report lines.
ACTS_ON: Final[Mapping[FaultKind, frozenset[Operation]]] = {
    FaultKind.DECLINE: frozenset({Operation.AUTHORIZE}),
    FaultKind.FORGET: frozenset({Operation.CAPTURE, Operation.PAYOUT}),
    FaultKind.MISSTATE: _CASES | {Operation.CAPTURE, Operation.REFUND},
    **dict.fromkeys(WEBHOOK_KINDS, _CASES | _REQUESTED),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """The properties of a request that decide which faults hit it; `card_range` is empty if unknown."""

    operation: Operation
    reference: str
    currency: str
    card_range: str


@dataclass(frozen=True, slots=True)
class Scope:
    """The requests that a fault may hit; an empty set means all."""

    card_ranges: frozenset[str] = frozenset()
    currencies: frozenset[str] = frozenset()
    operations: frozenset[Operation] = _REQUESTED | _CASES

    def covers(self, subject: Subject) -> bool:
        """Tell whether the subject is in scope."""
        return (
            (not self.operations or subject.operation in self.operations)
            and (not self.currencies or subject.currency in self.currencies)
            and (not self.card_ranges or subject.card_range in self.card_ranges)
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault. `rate` is the share of merchant references that it hits, from 0 to 1 (of reports for
    `truncate`).

    All requests of one reference share one draw, so the retries of a payment fail alike. Two faults with the
    same seed share the draw too, so the lower rate hits a subset of the higher one.
    """

    kind: FaultKind
    rate: float
    seed: int = 0
    latency_seconds: float = 0.0
    scope: Scope = Scope()
    decline_code: DeclineCode = DeclineCode.DO_NOT_HONOR
    what: Misstatement | None = None

    def hits(self, subject: Subject) -> bool:
        """Tell whether the fault applies to the subject: it is in scope and drawn."""
        if subject.operation not in ACTS_ON.get(self.kind, Operation):
            return False
        return self.scope.covers(subject) and self.draws(subject.reference)

    def draws(self, reference: str) -> bool:
        """Tell whether the reference is in the share that is hit."""
        return draw(self.seed, reference) < self.rate


@dataclass(slots=True)
class Lease:
    """An active fault. It ends by itself at `expires_at`, in seconds of the registry's clock."""

    id: str
    fault: Fault
    expires_at: float
    hits: int = 0


class FaultRegistry:
    """The active faults, in the order in which they were added. They are in memory only, so a restart ends
    them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._leases: dict[str, Lease] = {}

    def add(self, fault: Fault, lease_seconds: float) -> Lease:
        """Activate a fault; raises FaultsTooMany."""
        self._drop_expired()
        if len(self._leases) >= FAULTS_MAX:
            raise FaultsTooMany(f"{FAULTS_MAX} faults are active: DELETE /control/faults clears them")
        # Random ids: an undo from before a restart must not clear a newer fault.
        lease = Lease(secrets.token_hex(8), fault, self._clock() + lease_seconds)
        self._leases[lease.id] = lease
        return lease

    def renew(self, fault_id: str, lease_seconds: float) -> Lease:
        """Let a fault end `lease_seconds` from now; raises FaultUnknown if it was cleared or has expired."""
        self._drop_expired()
        lease = self._leases.get(fault_id)
        if lease is None:
            raise FaultUnknown("no active fault has this id: it was cleared or its lease ran out")
        lease.expires_at = self._clock() + lease_seconds
        return lease

    def clear(self, fault_id: str | None = None) -> int:
        """End one fault or all; return how many were active."""
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
        """Return the rest of the lease in seconds, at least 0."""
        return max(0.0, lease.expires_at - self._clock())

    def _drop_expired(self) -> None:
        now = self._clock()
        for fault_id in [lease.id for lease in self._leases.values() if lease.expires_at <= now]:
            del self._leases[fault_id]
