"""Runs `settle` in its own transaction and counts what came of it; shared by the API and the worker."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from moneypath.telemetry.integrations.ledger import LedgerKind, LedgerOutcome
from refpay.clock import Clock
from refpay.db.errors import CommitOutcomeUnknown, DatabaseUnavailable, TransactionConflicted
from refpay.db.pool import Connection, Database
from refpay.errors import InvariantViolation
from refpay.ledger.entries import EntryKind
from refpay.ledger.journal import Journal
from refpay.ledger.repository import read_entries_of
from refpay.measures import Measures
from refpay.payments import repository
from refpay.payments.errors import OperationInFlight
from refpay.payments.findings import Finding
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment
from refpay.payments.quick import QuickSettling
from refpay.payments.settling import Change, Settlement, decide, settle
from refpay.providers.port import DeclineCode

_LOG: Final = structlog.get_logger()
_LEDGER_KINDS: Final = {
    OperationKind.AUTHORIZE: LedgerKind.HOLD,
    OperationKind.CAPTURE: LedgerKind.POSTING,
    OperationKind.REFUND: LedgerKind.REVERSAL,
}
_HOLDS: Final = (EntryKind.HOLD, EntryKind.RELEASE)
Settling = Callable[[Connection], Awaitable[Sequence[Settlement]]]
# The first that fits; what the driver itself raised is judged by the library.
_OUTCOMES: Final[dict[type[BaseException], LedgerOutcome]] = {
    CommitOutcomeUnknown: LedgerOutcome.UNKNOWN,
    TransactionConflicted: LedgerOutcome.CONFLICT_RETRIED,
}
_RESULTS: Final = {
    DeclineCode.INSUFFICIENT_FUNDS: "soft_decline",
    DeclineCode.DO_NOT_HONOR: "hard_decline",
    DeclineCode.SUSPECTED_FRAUD: "fraud_decline",
    DeclineCode.ISSUER_UNAVAILABLE: "technical_decline",
    DeclineCode.OTHER: "hard_decline",
}
# Pauses before trying again: a restart of the database takes about a second.
_PAUSES_SECONDS: Final = (0.1, 0.4, 1.0)
# Far above what can be in flight when a database goes away.
_UNANSWERED_MOST: Final = 10_000


class Settler:
    """Settles operations; safe to repeat, because `settle` applies a finding at most once.

    What it posted is noted in `journal` and its fee is counted, both once its COMMIT is known.
    """

    def __init__(
        self, database: Database, *, measures: Measures, clock: Clock, journal: Journal | None = None
    ) -> None:
        self._database = database
        self._quick = QuickSettling(database)
        self._measures = measures
        self._clock = clock
        self._journal = journal
        # What was posted by a COMMIT that nobody answered, by the id of its operation.
        self._unanswered: dict[UUID, Settlement] = {}

    async def settle(
        self, operation: Operation, finding: Finding, *, actor: str, begun: Payment | None = None
    ) -> Settlement:
        """Settle once; `begun` is the payment of an authorization as it was written with it, if we did that.

        Raises DatabaseUnavailable when it did not happen and CommitOutcomeUnknown when that is not
        known; either way it may be called again.
        """

        async def settle_it(connection: Connection) -> Sequence[Settlement]:
            return [await settle(connection, operation, finding, now=now, actor=actor)]

        now = self._clock.now()
        quick = None
        if begun is not None and finding.status.final and finding.turn is None:
            quick = decide(begun, operation, [operation], finding, now=now, actor=actor)
        [settlement] = await self.run(settle_it, ledger_kind(operation.kind, finding), quick)
        return settlement

    async def run(
        self, settling: Settling, kind: LedgerKind | None = None, quick: Change | None = None
    ) -> Sequence[Settlement]:
        """Run what settles any number of operations in one transaction, and count what came of it.

        A `quick` change of the same is written with others' if nobody has touched what it changes.
        """
        try:
            with self._measures.ledger_write(kind, _OUTCOMES) as write:
                try:
                    settlements = await self._apply(settling, quick)
                except OperationInFlight:
                    # It came too early, and is told again.
                    write.nothing_written()
                    raise
                if not any(one.applied for one in settlements):
                    write.nothing_written()
        except asyncpg.IntegrityConstraintViolationError as problem:
            raise InvariantViolation(f"database refuses to settle ({problem.sqlstate})") from problem
        for settlement in settlements:
            self._note(settlement)
        await self.look_up_unanswered()
        return settlements

    async def look_up_unanswered(self) -> None:
        """Find out what became of commits that were not answered; what is not known yet stays for later."""
        if not self._unanswered:
            return
        unanswered = dict(self._unanswered)
        try:
            async with self._database.transaction() as connection:
                await repository.wait_for_operations(connection, list(unanswered))
                posted = await read_entries_of(connection, list(unanswered))
        except DatabaseUnavailable:
            return
        for operation_id, settlement in unanswered.items():
            # Somebody else may have looked it up meanwhile, or begun anew.
            if self._unanswered.get(operation_id) is settlement:
                del self._unanswered[operation_id]
                self._note_posted(settlement, only=posted.get(operation_id))

    async def settle_patiently(
        self, operation: Operation, finding: Finding, *, actor: str, begun: Payment | None = None
    ) -> Settlement | None:
        """Settle, trying again while it cannot be done; None leaves it to the worker or a later message."""
        for pause in (*_PAUSES_SECONDS, None):
            try:
                return await self.settle(operation, finding, actor=actor, begun=begun)
            except (DatabaseUnavailable, OperationInFlight) as problem:
                _LOG.warning("operation_not_settled", operation_id=str(operation.id), problem=problem.detail)
                if pause is not None:
                    await asyncio.sleep(pause)
        return None

    async def _apply(self, settling: Settling, quick: Change | None) -> Sequence[Settlement]:
        settlements: Sequence[Settlement] = () if quick is None else (quick.settlement,)
        try:
            if quick is not None and await self._quick.settle(quick):
                return settlements
            settlements = ()
            async with self._database.transaction() as connection:
                settlements = await settling(connection)
        except CommitOutcomeUnknown:
            for settlement in settlements:
                if settlement.entry is not None and len(self._unanswered) < _UNANSWERED_MOST:
                    self._unanswered[settlement.entry.operation_id] = settlement
            raise
        return settlements

    def _note(self, settlement: Settlement) -> None:
        operation = settlement.operation
        if settlement.contradicted:
            _LOG.error(
                "operation_contradicted", operation_id=str(operation.id), settled=operation.status.value
            )
        payment = settlement.subject
        result = _authorization_result(operation) if settlement.applied else None
        if result is not None and isinstance(payment, Payment):
            self._measures.count_authorization(
                provider=payment.provider, scheme=payment.scheme, currency=payment.currency, result=result
            )
        if settlement.entry is not None:
            self._note_posted(settlement, only=settlement.entry.id)

    def _note_posted(self, settlement: Settlement, *, only: UUID | None) -> None:
        """Count and note what was posted if it is the entry `only`: another process's is its own to count."""
        if settlement.entry is None or settlement.entry.id != only:
            return
        if settlement.entry.kind is EntryKind.POSTING:
            self._measures.count_fee(
                provider=settlement.subject.provider,
                currency=settlement.subject.currency,
                amount_minor=settlement.operation.amount_minor,
            )
        # A hold that is lost is no money that is lost; what was posted is written down elsewhere too.
        if self._journal is not None and settlement.entry.kind not in _HOLDS:
            self._journal.note(settlement.entry)


def ledger_kind(kind: str, finding: Finding | None) -> LedgerKind | None:
    """Return what the ledger's series call what a finding will write, if it is one of theirs."""
    done = finding is not None and finding.status is OperationStatus.SUCCEEDED
    return _LEDGER_KINDS.get(OperationKind(kind)) if done else None


def _authorization_result(operation: Operation) -> str | None:
    if operation.kind is not OperationKind.AUTHORIZE:
        return None
    if operation.status is OperationStatus.DECLINED:
        return _RESULTS[DeclineCode(operation.decline_code or DeclineCode.OTHER)]
    return "approved" if operation.status is OperationStatus.SUCCEEDED else None
