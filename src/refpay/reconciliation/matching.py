"""Match what is reported under one key with what our ledger has.

Pure functions, so every rule is tested alone.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from refpay.costs import METHOD, CostModel
from refpay.money import MAXIMUM_MINOR, Currency
from refpay.providers.reports import CHARGEBACKS, MovementKind
from refpay.reconciliation.model import (
    FINAL_WITHOUT_EFFECT,
    Break,
    BreakClass,
    BreakId,
    LedgerOperation,
    MatchResult,
    Repair,
    ReportedLine,
)

# A rate may differ from the declared one by a twentieth, for the provider's margin and the market.
_RATE_PARTS: Final = 20

# A chargeback or its reversal: the provider's name of it, which of the two, amount and currency.
KnownChargeback = tuple[str, MovementKind, int, Currency]


@dataclass(frozen=True, slots=True)
class MatchingInput:
    """Everything known of one key: its lines in force, our operation, and refunds of duplicates.

    `repaired` are the movements of this key that a reported refund has taken back. `repairs` is what this
    key takes back, if it is the key of such a refund. `chargebacks` are the known ones of this capture.
    """

    key: str
    theirs: Sequence[ReportedLine] = ()
    ours: LedgerOperation | None = None
    repaired: frozenset[str] = frozenset()
    repairs: Repair | None = None
    chargebacks: frozenset[KnownChargeback] = frozenset()


@dataclass(frozen=True, slots=True)
class Matcher:
    """Matches for one provider at one instant.

    Operations resolved before `horizon` have to be in a report; None means that none has to be yet. An
    operation without an outcome is awaited until `unresolved_grace` after its outcome deadline.
    """

    provider: str
    now: datetime
    horizon: datetime | None
    unresolved_grace: timedelta
    costs: CostModel

    def match(self, evidence: MatchingInput) -> MatchResult:
        """Return the differences: at most one break for each line, or one for a missing line."""
        ours = evidence.ours
        moved = [one for one in evidence.theirs if one.line.kind not in CHARGEBACKS]
        found = list(self._match_chargebacks(evidence))
        if not moved:
            return MatchResult((*self._missing(evidence.key, ours), *found))
        if ours is not None and self._is_in_flight(ours):
            return MatchResult(awaiting=True)
        first, *extra = _order(moved, ours)
        return MatchResult((*self._compare(first, evidence), *self._doubled(evidence, first, extra), *found))

    def _missing(self, key: str, ours: LedgerOperation | None) -> Sequence[Break]:
        if ours is None or not ours.posted or self.horizon is None or ours.settled_at is None:
            return ()
        if ours.settled_at >= self.horizon:
            return ()
        value = abs(ours.posted_minor or 0)
        missing = BreakId(key, BreakClass.MISSING_THEIRS)
        return (Break(missing, ours.currency, value, ours.operation_id, None),)

    def _is_in_flight(self, ours: LedgerOperation) -> bool:
        final = ("succeeded", *FINAL_WITHOUT_EFFECT)
        unresolved = ours.status not in final or (ours.undone or "succeeded") not in final
        return unresolved and self.now < ours.settle_after + self.unresolved_grace

    def _compare(self, theirs: ReportedLine, evidence: MatchingInput) -> Sequence[Break]:
        line, ours = theirs.line, evidence.ours
        if ours is None:
            if evidence.repairs is not None and evidence.repairs.is_done_by(line):
                return self._match_rate(theirs)
            return (_break(theirs, BreakClass.MISSING_OURS, line.amount_minor),)
        # What came too late is in suspense: a capture until it is refunded, a refund until it is released.
        if ours.status != "succeeded" and (ours.posted_minor is None or ours.undone != "succeeded"):
            return (_break(theirs, BreakClass.STATUS, line.amount_minor, ours),)
        if ours.posted_minor is None:
            return (_break(theirs, BreakClass.MISSING_OURS, line.amount_minor, ours),)
        # The first difference explains the others: a fee is only checked if both agree on the amount.
        if line.currency != ours.currency:
            # Valued in our currency, because it is our money that is in doubt.
            value = abs(ours.posted_minor)
            return (_break(theirs, BreakClass.CURRENCY, value, ours, currency=ours.currency),)
        if line.signed_minor != ours.posted_minor:
            value = min(MAXIMUM_MINOR, abs(line.signed_minor - ours.posted_minor))
            return (_break(theirs, BreakClass.AMOUNT, value, ours),)
        expected = 0
        if line.kind is MovementKind.CAPTURE:
            expected = self.costs.fee_minor(self.provider, METHOD, line.currency, line.amount_minor)
        if line.fee_minor != expected:
            return (_break(theirs, BreakClass.FEE, abs(line.fee_minor - expected), ours),)
        return self._match_rate(theirs, ours)

    def _match_chargebacks(self, evidence: MatchingInput) -> Iterator[Break]:
        if all(one.line.kind not in CHARGEBACKS for one in evidence.theirs):
            return
        # A provider may give a chargeback the same name as its capture.
        seen = Counter(one.line.movement for one in evidence.theirs if one.line.kind not in CHARGEBACKS)
        for theirs in evidence.theirs:
            line = theirs.line
            if line.kind not in CHARGEBACKS:
                continue
            if (line.movement, line.kind, line.amount_minor, line.currency) in evidence.chargebacks:
                found = self._match_rate(theirs, evidence.ours, seen[line.movement])
            else:
                missing, occurrence = BreakClass.MISSING_OURS, seen[line.movement]
                found = (_break(theirs, missing, line.amount_minor, evidence.ours, occurrence=occurrence),)
            seen[line.movement] += len(found)
            yield from found

    def _doubled(
        self, evidence: MatchingInput, first: ReportedLine, extra: Sequence[ReportedLine]
    ) -> Iterator[Break]:
        if not extra:
            return
        seen = Counter([first.line.movement])
        for theirs in extra:
            line, occurrence = theirs.line, seen[theirs.line.movement]
            seen[line.movement] += 1
            # Only a movement of its own can have been refunded, not one that is stated twice.
            if occurrence == 0 and line.movement in evidence.repaired:
                yield from self._match_rate(theirs, evidence.ours)
            else:
                duplicate = BreakClass.DUPLICATE
                yield _break(theirs, duplicate, line.amount_minor, evidence.ours, occurrence=occurrence)

    def _match_rate(
        self, theirs: ReportedLine, ours: LedgerOperation | None = None, occurrence: int = 0
    ) -> tuple[Break, ...]:
        """Return a break if a line is settled in another currency for far more or less than it is worth."""
        line, settled = theirs.line, theirs.line.settled
        if settled is None:
            return ()
        worth = self.costs.exchange(line.currency, line.amount_minor, settled.currency)
        value = min(MAXIMUM_MINOR, abs(settled.amount_minor - worth))
        # One unit may be rounding.
        if (value - 1) * _RATE_PARTS <= worth:
            return ()
        amount, currency = BreakClass.AMOUNT, settled.currency
        return (_break(theirs, amount, value, ours, currency=currency, occurrence=occurrence),)


def _order(theirs: Sequence[ReportedLine], ours: LedgerOperation | None) -> Sequence[ReportedLine]:
    """Return the lines in reported order, but the one that we know first."""
    known = None if ours is None else ours.provider_reference
    return sorted(theirs, key=lambda one: (one.line.movement != known, one.place))


def _break(
    theirs: ReportedLine,
    break_class: BreakClass,
    value_minor: int,
    ours: LedgerOperation | None = None,
    *,
    currency: str | None = None,
    occurrence: int = 0,
) -> Break:
    operation_id: UUID | None = None if ours is None else ours.operation_id
    return Break(
        BreakId(theirs.line.key, break_class, theirs.line.movement, occurrence),
        currency or theirs.line.currency,
        value_minor,
        operation_id,
        theirs.place,
    )
