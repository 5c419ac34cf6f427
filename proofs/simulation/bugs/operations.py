"""Seeded bugs in the life cycle of an operation: claim, send, resolve, notify."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from proofs.simulation.seeded_bugs import Patch, bug, nothing

from refpay.db.errors import CommitOutcomeUnknown
from refpay.identity import signing
from refpay.ids import mint_id
from refpay.payments import (
    authorization_batches,
    claims_repository,
    intents,
    lifecycle,
    repository,
    resolution,
    service,
)
from refpay.payments.model import OperationStatus
from refpay.payments.outcomes import NOT_DONE
from refpay.payments.recovery import OperationRecovery
from refpay.payments.service import Payments
from refpay.providers.errors import ProviderOutcomeUnknown
from refpay.providers.port import Answer, CallKind, ProviderResult
from refpay.providers.retry import RetryingProvider
from refpay.providers.timeout import TimedProvider


@bug
def new_provider_key_on_retry() -> list[Patch]:
    """A retry goes to the provider under a new key."""
    perform = TimedProvider.perform

    async def renewed(self: TimedProvider, call: Any) -> Answer:
        again = call.attempt > 1 and call.kind is not CallKind.QUERY
        return await perform(self, replace(call, key=mint_id(call.deadline)) if again else call)

    return [(TimedProvider, "perform", renewed)]


@bug
def timeout_is_final() -> list[Patch]:
    """A provider that did not answer counts as one that refused."""
    return [(service, "NOT_KNOWN", NOT_DONE)]


@bug
def silence_means_unknown() -> list[Patch]:
    """A query without an answer counts as "unknown key"."""
    perform = TimedProvider.perform

    async def hasty(self: TimedProvider, call: Any) -> Answer:
        try:
            return await perform(self, call)
        except ProviderOutcomeUnknown:
            if call.kind is CallKind.QUERY:
                return Answer(ProviderResult.UNKNOWN_KEY)
            raise

    return [(TimedProvider, "perform", hasty)]


@bug
def unknown_key_believed_too_soon() -> list[Patch]:
    """The worker believes "unknown key" while the request may still be in transit."""
    intend = intents.PlannedOperation.intent

    def hasty(self: intents.PlannedOperation, *rest: Any, **options: Any) -> intents.Intent:
        found = intend(self, *rest, **options)
        sent, judged = (self.now + timedelta(milliseconds=after) for after in (1, 2))
        soon: dict[str, Any] = {
            "lease_until": sent,
            "call_deadline": sent,
            "settle_after": judged,
            "next_query_at": judged,
        }
        return replace(found, operation=replace(found.operation, **soon))

    return [(intents.PlannedOperation, "intent", hasty)]


@bug
def check_then_act() -> list[Patch]:
    """A payment is read without a lock before it is changed."""
    return [(repository, "lock_payment", repository.read_payment)]


@bug
def refund_is_not_reserved() -> list[Patch]:
    """Two refunds in flight do not know of each other."""
    return [(intents, "reserve", lambda payment, _kind, _amount: payment)]


@bug
def reservation_is_kept() -> list[Patch]:
    """A failed refund keeps its share of the refundable amount."""
    move = lifecycle.apply_operation

    def kept(payment: Any, operation: Any) -> Any:
        moved = move(payment, operation)
        if operation.status is OperationStatus.SUCCEEDED:
            return moved
        return replace(
            moved,
            refund_reserved_minor=payment.refund_reserved_minor,
            capture_reserved_minor=payment.capture_reserved_minor,
        )

    return [(resolution, "apply_operation", kept)]


@bug
def fingerprint_is_skipped() -> list[Patch]:
    """A key that was used for another request answers this one too."""
    claim = claims_repository.claim

    async def trusting(connection: Any, command: Any, **rest: Any) -> Any:
        found = await claim(connection, command, **rest)
        return found and replace(found, fingerprint=command.fingerprint)

    async def trusting_all(connection: Any, commands: Any) -> Any:
        found = await claims_repository.read_claims(connection, commands)
        return {place: replace(one, fingerprint=commands[place].fingerprint) for place, one in found.items()}

    return [(claims_repository, "claim", trusting), (authorization_batches, "read_claims", trusting_all)]


@bug
def claim_is_not_atomic() -> list[Patch]:
    """A key is looked up first and claimed later."""
    claim = claims_repository.claim

    async def looked_up(connection: Any, command: Any, **rest: Any) -> Any:
        query = "SELECT 1 FROM payments.idempotency_key WHERE principal = $1 AND key = $2"
        if await connection.fetchval(query, command.principal.name, command.key) is None:
            await claim(connection, command, **rest)
            return None
        return await claim(connection, command, **rest)

    return [(claims_repository, "claim", looked_up)]


@bug
def answer_is_not_stored() -> list[Patch]:
    """Answers are not stored."""
    return [(claims_repository, "store", nothing)]


@bug
def refusal_is_not_kept() -> list[Patch]:
    """A refused request may succeed when it is sent again."""
    store = claims_repository.store

    async def forgetful(connection: Any, *, principal: str, key: str, answer: Any) -> None:
        if answer.status != 409:
            await store(connection, principal=principal, key=key, answer=answer)

    return [(claims_repository, "store", forgetful)]


@bug
def resolved_twice() -> list[Patch]:
    """A final operation may be resolved again."""
    lock = repository.lock_operation

    async def reopened(connection: Any, number: Any) -> Any:
        found = await lock(connection, number)
        return found and replace(found, status=OperationStatus.STARTED)

    return [(repository, "lock_operation", reopened)]


@bug
def lost_commit_is_done_anew() -> list[Patch]:
    """A COMMIT without an answer is treated as one that did not happen."""
    begin = Payments._begin

    async def anew(self: Payments, command: Any, *rest: Any) -> Any:
        try:
            return await begin(self, command, *rest)
        except CommitOutcomeUnknown:
            return await begin(self, replace(command, key=f"{command.key}-anew"), *rest)

    return [(Payments, "_begin", anew)]


@bug
def started_is_forgotten() -> list[Patch]:
    """Operations of a dead process are never queried."""
    due = repository._TAKE_DUE.replace("'started', 'indeterminate'", "'indeterminate'")
    return [(repository, "_TAKE_DUE", due)]


@bug
def sent_after_the_deadline() -> list[Patch]:
    """A stalled process sends a request that others have resolved meanwhile."""
    perform = RetryingProvider.perform

    async def late(self: RetryingProvider, call: Any) -> Answer:
        return await perform(self, replace(call, deadline=call.deadline + timedelta(days=1)))

    return [(RetryingProvider, "perform", late)]


@bug
def asks_about_another_key() -> list[Patch]:
    """The worker queries the provider by our id instead of the provider key."""
    find_out = OperationRecovery._find_out

    async def confused(self: OperationRecovery, operation: Any) -> Any:
        return await find_out(self, replace(operation, provider_key=operation.id))

    return [(OperationRecovery, "_find_out", confused)]


@bug
def resumed_refusal_is_final() -> list[Patch]:
    """A process that resumes another one's request takes a refusal for the final answer."""
    call = Payments._call

    async def hasty(self: Payments, intent: intents.Intent) -> Any:
        return await call(self, replace(intent, resumed=False))

    return [(Payments, "_call", hasty)]


@bug
def taken_for_dead_ends_it() -> list[Patch]:
    """A stalled process resolves an operation that another process is sending meanwhile."""
    call = Payments._call

    async def for_good(self: Payments, intent: intents.Intent) -> Any:
        return replace(await call(self, intent), fencing_token=None)

    return [(Payments, "_call", for_good)]


@bug
def unfinished_key_is_reaped() -> list[Patch]:
    """A key expires by its age alone, whether it was answered or not."""
    reap = claims_repository._REAP.replace("AND response_status IS NOT NULL", "").replace(
        "response_body = NULL", "response_body = NULL, response_status = coalesce(response_status, 410)"
    )
    return [(claims_repository, "_REAP", reap)]


@bug
def stale_timestamp_is_accepted() -> list[Patch]:
    """A signed request is accepted however old it is."""
    return [(signing, "WINDOW_SECONDS", 10**6)]


@bug
def nonce_is_not_kept() -> list[Patch]:
    """A signed request is accepted as often as it is sent."""

    taken = "SELECT $1::text || $2::text || $3::timestamptz::text IS NOT NULL"
    return [(signing, "INSERT_NONCE", taken)]


@bug
def no_audit() -> list[Patch]:
    """A resolved operation is not written to the audit trail."""
    return [(resolution, "record", nothing)]


@bug
def no_event() -> list[Patch]:
    """No event is published."""
    return [(resolution, "append", nothing)]
