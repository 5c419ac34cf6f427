"""Resolve operations in transactions of their own and count the outcomes; used by the API and the worker."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

import asyncpg
import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_chain,
    wait_fixed,
)

from moneypath.telemetry.integrations.ledger import LedgerKind, LedgerOutcome
from refpay.clock import Clock
from refpay.db.errors import CommitOutcomeUnknown, DatabaseUnavailable, TransactionConflicted
from refpay.db.pool import Connection, Database
from refpay.errors import InvariantViolation, RefpayError
from refpay.ledger.entries import EntryKind
from refpay.ledger.receipt_log import ReceiptLog
from refpay.ledger.repository import read_entries_of
from refpay.measures import ServiceMetrics
from refpay.payments import repository
from refpay.payments.authorization_batches import OutcomeBatches
from refpay.payments.errors import OperationInFlight
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment
from refpay.payments.outcomes import ReportedOutcome
from refpay.payments.resolution import OutcomeChange, ResolvedOutcome, decide, resolve
from refpay.providers.port import DeclineCode

_LOG: Final = structlog.get_logger()
# The entry that an operation posts when it succeeds in time.
_ENTRY_KINDS: Final = {
    OperationKind.AUTHORIZE: EntryKind.HOLD,
    OperationKind.CAPTURE: EntryKind.POSTING,
    OperationKind.VOID: EntryKind.RELEASE,
    OperationKind.EXPIRY: EntryKind.RELEASE,
    OperationKind.REFUND: EntryKind.REVERSAL,
    OperationKind.PAYOUT: EntryKind.PAYOUT,
    OperationKind.CHARGEBACK: EntryKind.CHARGEBACK,
    OperationKind.CHARGEBACK_REVERSAL: EntryKind.CHARGEBACK_REVERSAL,
    OperationKind.UNDO_CAPTURE: EntryKind.SUSPENSE,
    OperationKind.SUSPENSE_RELEASE: EntryKind.SUSPENSE_RELEASE,
}
_LEDGER_KINDS: Final = {kind.value: kind for kind in LedgerKind}
_HOLDS: Final = (EntryKind.HOLD, EntryKind.RELEASE)
ResolveInTransaction = Callable[[Connection], Awaitable[Sequence[ResolvedOutcome]]]
# The first that matches. The telemetry library classifies the driver's own errors.
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
# Pauses before each retry. A restart of the database takes about a second.
_PAUSES_SECONDS: Final = (0.1, 0.4, 1.0)
_RETRIED: Final = (DatabaseUnavailable, OperationInFlight)
# Far more than can be in flight when the database goes away.
_UNANSWERED_MAXIMUM: Final = 10_000


class OutcomeResolver:
    """Resolves operations. Calling it again is safe, because an outcome is applied at most once.

    What it posts is noted in `receipt_log` and its fee is counted, both once the COMMIT is known.
    """

    def __init__(
        self,
        database: Database,
        *,
        measures: ServiceMetrics,
        clock: Clock,
        receipt_log: ReceiptLog | None = None,
    ) -> None:
        self._database = database
        self._batches = OutcomeBatches(database)
        self._measures = measures
        self._clock = clock
        self._receipt_log = receipt_log
        # Posted by a COMMIT without an answer, by operation id.
        self._unanswered: dict[UUID, ResolvedOutcome] = {}

    async def resolve(
        self,
        operation: Operation,
        outcome: ReportedOutcome,
        *,
        actor: str,
        begun: Payment | None = None,
        fee_recorded: bool = False,
    ) -> ResolvedOutcome:
        """Resolve an operation once.

        `begun` is the payment of an authorization as this process wrote it. With `fee_recorded` the caller
        hands the fee of what is posted now to its own payment record.

        Raises DatabaseUnavailable when it did not happen and CommitOutcomeUnknown when that is not known;
        either way it may be called again.
        """

        async def resolve_it(connection: Connection) -> Sequence[ResolvedOutcome]:
            return [await resolve(connection, operation, outcome, now=now, actor=actor)]

        now = self._clock.now()
        batched = None
        if begun is not None and outcome.status.final and outcome.fencing_token is None:
            batched = decide(begun, operation, [operation], outcome, now=now, actor=actor)
        [resolved] = await self.run(
            resolve_it, ledger_kind(operation.kind, outcome), batched, fee_recorded=fee_recorded
        )
        return resolved

    async def run(
        self,
        resolving: ResolveInTransaction,
        kind: LedgerKind | None = None,
        batched: OutcomeChange | None = None,
        *,
        fee_recorded: bool = False,
    ) -> Sequence[ResolvedOutcome]:
        """Run a function that resolves operations in one transaction, and count the outcomes.

        If `batched` is given, the same change is first tried together with those of other callers; it is
        written that way if no other process has touched its operation.
        """
        try:
            with self._measures.ledger_write(kind, _OUTCOMES) as write:
                try:
                    all_resolved = await self._apply(resolving, batched)
                except OperationInFlight:
                    # The provider reports it again.
                    write.nothing_written()
                    raise
                entries = [one.entry for one in all_resolved if one.entry is not None]
                if entries:
                    # What was posted may differ from what was expected: a late capture goes to suspense.
                    write.kind = _LEDGER_KINDS.get(entries[0].kind.value, write.kind)
                elif not any(one.applied for one in all_resolved):
                    write.nothing_written()
        except asyncpg.IntegrityConstraintViolationError as problem:
            raise InvariantViolation(f"database refuses to resolve ({problem.sqlstate})") from problem
        for resolved in all_resolved:
            self._note(resolved, fee_recorded=fee_recorded)
        try:
            await self.look_up_unanswered()
        except BaseException:
            # A caller that is cancelled here cannot record the fee any more.
            for resolved in all_resolved:
                if fee_recorded:
                    self._count_fee(resolved)
            raise
        return all_resolved

    async def look_up_unanswered(self) -> None:
        """Find out whether commits without an answer happened.

        Those still unknown are kept for the next call.
        """
        if not self._unanswered:
            return
        unanswered = dict(self._unanswered)
        try:
            async with self._database.transaction() as connection:
                await repository.wait_for_operations(connection, list(unanswered))
                posted = await read_entries_of(connection, list(unanswered))
        except DatabaseUnavailable:
            return
        for operation_id, resolved in unanswered.items():
            # Another task may have looked it up meanwhile, or posted again.
            if self._unanswered.get(operation_id) is resolved:
                del self._unanswered[operation_id]
                self._note_posted(resolved, only=posted.get(operation_id))

    async def resolve_with_retries(
        self,
        operation: Operation,
        outcome: ReportedOutcome,
        *,
        actor: str,
        begun: Payment | None = None,
        fee_recorded: bool = False,
    ) -> ResolvedOutcome | None:
        """Resolve, and retry while the database or another operation is in the way.

        None leaves it to the worker or to a later message of the provider.
        """
        # tenacity costs about 50 us a call, so it is entered after a failure only.
        try:
            return await self.resolve(operation, outcome, actor=actor, begun=begun, fee_recorded=fee_recorded)
        except _RETRIED as problem:
            first = problem

        def log(state: RetryCallState) -> None:
            problem = None if state.outcome is None else state.outcome.exception()
            if isinstance(problem, RefpayError):
                _LOG.warning("operation_not_resolved", operation_id=str(operation.id), problem=problem.detail)

        retrying = AsyncRetrying(
            sleep=asyncio.sleep,
            wait=wait_chain(*map(wait_fixed, _PAUSES_SECONDS)),
            stop=stop_after_attempt(len(_PAUSES_SECONDS) + 1),
            retry=retry_if_exception_type(_RETRIED),
            after=log,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    if attempt.retry_state.attempt_number == 1:
                        raise first
                    return await self.resolve(
                        operation, outcome, actor=actor, begun=begun, fee_recorded=fee_recorded
                    )
        except _RETRIED:
            return None
        raise AssertionError("unreachable: every attempt returns or raises")

    async def _apply(
        self, resolving: ResolveInTransaction, batched: OutcomeChange | None
    ) -> Sequence[ResolvedOutcome]:
        all_resolved: Sequence[ResolvedOutcome] = () if batched is None else (batched.resolved,)
        try:
            if batched is not None and await self._batches.resolve(batched):
                return all_resolved
            all_resolved = ()
            async with self._database.transaction() as connection:
                all_resolved = await resolving(connection)
        except CommitOutcomeUnknown:
            for resolved in all_resolved:
                if resolved.entry is not None and len(self._unanswered) < _UNANSWERED_MAXIMUM:
                    self._unanswered[resolved.entry.operation_id] = resolved
            raise
        return all_resolved

    def _note(self, resolved: ResolvedOutcome, *, fee_recorded: bool) -> None:
        operation = resolved.operation
        if resolved.contradicted:
            _LOG.error(
                "operation_contradicted", operation_id=str(operation.id), resolved=operation.status.value
            )
        payment = resolved.subject
        result = _authorization_result(operation) if resolved.applied else None
        if result is not None and isinstance(payment, Payment):
            self._measures.count_authorization(
                provider=payment.provider, scheme=payment.scheme, currency=payment.currency, result=result
            )
        if resolved.entry is not None:
            self._note_posted(resolved, only=resolved.entry.id, fee_recorded=fee_recorded)

    def _note_posted(
        self, resolved: ResolvedOutcome, *, only: UUID | None, fee_recorded: bool = False
    ) -> None:
        """Count and note what was posted if it is the entry `only`.

        Another process counts its own entries.
        """
        if resolved.entry is None or resolved.entry.id != only:
            return
        if resolved.takes_fee:
            self._measures.count_captured(
                provider=resolved.subject.provider,
                currency=resolved.subject.currency,
                amount_minor=resolved.operation.amount_minor,
            )
        if not fee_recorded:
            self._count_fee(resolved)
        # Only entries that move money have a receipt: a hold that is lost loses no money.
        if self._receipt_log is not None and resolved.entry.kind not in _HOLDS:
            self._receipt_log.note(resolved.entry)

    def _count_fee(self, resolved: ResolvedOutcome) -> None:
        if resolved.takes_fee:
            self._measures.count_unrecorded_fee(
                provider=resolved.subject.provider,
                currency=resolved.subject.currency,
                amount_minor=resolved.operation.amount_minor,
            )


def ledger_kind(kind: str, outcome: ReportedOutcome | None) -> LedgerKind | None:
    """Return the label that an outcome's ledger entry has in the ledger series, if it has one."""
    if outcome is None or outcome.status is not OperationStatus.SUCCEEDED:
        return None
    expected = _ENTRY_KINDS.get(OperationKind(kind))
    return None if expected is None else _LEDGER_KINDS.get(expected.value)


def _authorization_result(operation: Operation) -> str | None:
    if operation.kind is not OperationKind.AUTHORIZE:
        return None
    if operation.status is OperationStatus.DECLINED:
        return _RESULTS[DeclineCode(operation.decline_code or DeclineCode.OTHER)]
    return "approved" if operation.status is OperationStatus.SUCCEEDED else None
