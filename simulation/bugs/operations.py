"""Bugs on purpose in how an operation goes: asked, claimed, sent, judged, settled, told."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from refpay.db.errors import CommitOutcomeUnknown
from refpay.identity import signing
from refpay.ids import mint_id
from refpay.payments import claims_repository, intents, lifecycle, quick, repository, service, settling
from refpay.payments.findings import NOT_DONE
from refpay.payments.model import OperationStatus
from refpay.payments.resolving import Resolver
from refpay.payments.service import Payments
from refpay.providers.errors import ProviderSilent
from refpay.providers.port import Answer, CallKind, Verdict
from refpay.providers.retry import RetriedProvider
from refpay.providers.timeout import TimedProvider
from simulation.planting import Swap, bug, nothing


@bug
def new_provider_key_on_retry() -> list[Swap]:
    """A retry goes to the provider under a key of its own."""
    perform = TimedProvider.perform

    async def renewed(self: TimedProvider, call: Any) -> Answer:
        again = call.attempt > 1 and call.kind is not CallKind.QUERY
        return await perform(self, replace(call, key=mint_id(call.deadline)) if again else call)

    return [(TimedProvider, "perform", renewed)]


@bug
def timeout_is_final() -> list[Swap]:
    """A provider that did not answer counts as one that refused."""
    return [(service, "NOT_KNOWN", NOT_DONE)]


@bug
def silence_means_unknown() -> list[Swap]:
    """A question that is not answered counts as "there is no such key"."""
    perform = TimedProvider.perform

    async def hasty(self: TimedProvider, call: Any) -> Answer:
        try:
            return await perform(self, call)
        except ProviderSilent:
            if call.kind is CallKind.QUERY:
                return Answer(Verdict.UNKNOWN_KEY)
            raise

    return [(TimedProvider, "perform", hasty)]


@bug
def judged_while_it_is_sent() -> list[Swap]:
    """The worker asks, and believes "there is no such key", while the request may still be on its way."""
    intend = intents.Draft.intent

    def hasty(self: intents.Draft, *rest: Any, **options: Any) -> intents.Intent:
        found = intend(self, *rest, **options)
        sent, judged = (self.now + timedelta(milliseconds=after) for after in (1, 2))
        soon: dict[str, Any] = {
            "lease_until": sent,
            "call_deadline": sent,
            "settle_after": judged,
            "next_query_at": judged,
        }
        return replace(found, operation=replace(found.operation, **soon))

    return [(intents.Draft, "intent", hasty)]


@bug
def check_then_act() -> list[Swap]:
    """A payment is read without a lock before it is changed."""
    return [(repository, "lock_payment", repository.read_payment)]


@bug
def refund_is_not_reserved() -> list[Swap]:
    """Two refunds on their way do not know of each other."""
    return [(intents, "reserve", lambda payment, _kind, _amount: payment)]


@bug
def reservation_is_kept() -> list[Swap]:
    """A refund that failed keeps its share of what may be refunded."""
    move = lifecycle.move

    def kept(payment: Any, operation: Any) -> Any:
        moved = move(payment, operation)
        if operation.status is OperationStatus.SUCCEEDED:
            return moved
        return replace(
            moved,
            refund_reserved_minor=payment.refund_reserved_minor,
            capture_reserved_minor=payment.capture_reserved_minor,
        )

    return [(settling, "move", kept)]


@bug
def fingerprint_is_skipped() -> list[Swap]:
    """A key that was used for another request answers this one too."""
    claim = claims_repository.claim

    async def trusting(connection: Any, command: Any, **rest: Any) -> Any:
        found = await claim(connection, command, **rest)
        return found and replace(found, fingerprint=command.fingerprint)

    async def trusting_all(connection: Any, commands: Any) -> Any:
        found = await claims_repository.read_claims(connection, commands)
        return {place: replace(one, fingerprint=commands[place].fingerprint) for place, one in found.items()}

    return [(claims_repository, "claim", trusting), (quick, "read_claims", trusting_all)]


@bug
def claim_is_not_atomic() -> list[Swap]:
    """A key is looked up, and then claimed."""
    claim = claims_repository.claim

    async def looked_up(connection: Any, command: Any, **rest: Any) -> Any:
        query = "SELECT 1 FROM payments.idempotency_key WHERE principal = $1 AND key = $2"
        if await connection.fetchval(query, command.principal.name, command.key) is None:
            await claim(connection, command, **rest)
            return None
        return await claim(connection, command, **rest)

    return [(claims_repository, "claim", looked_up)]


@bug
def answer_is_not_stored() -> list[Swap]:
    """What was answered is forgotten."""
    return [(claims_repository, "store", nothing)]


@bug
def refusal_is_not_kept() -> list[Swap]:
    """What was refused may go well when it is sent again."""
    store = claims_repository.store

    async def forgetful(connection: Any, *, principal: str, key: str, answer: Any) -> None:
        if answer.status != 409:
            await store(connection, principal=principal, key=key, answer=answer)

    return [(claims_repository, "store", forgetful)]


@bug
def settled_twice() -> list[Swap]:
    """What is final may be settled again."""
    lock = repository.lock_operation

    async def reopened(connection: Any, number: Any) -> Any:
        found = await lock(connection, number)
        return found and replace(found, status=OperationStatus.STARTED)

    return [(repository, "lock_operation", reopened)]


@bug
def lost_commit_is_done_anew() -> list[Swap]:
    """A COMMIT that was not answered is taken for one that did not happen."""
    begin = Payments._begin

    async def anew(self: Payments, command: Any, *rest: Any) -> Any:
        try:
            return await begin(self, command, *rest)
        except CommitOutcomeUnknown:
            return await begin(self, replace(command, key=f"{command.key}-anew"), *rest)

    return [(Payments, "_begin", anew)]


@bug
def started_is_forgotten() -> list[Swap]:
    """Nobody asks about what was begun by a process that died."""
    due = repository._TAKE_DUE.replace("'started', 'indeterminate'", "'indeterminate'")
    return [(repository, "_TAKE_DUE", due)]


@bug
def sent_after_the_deadline() -> list[Swap]:
    """A process that slept sends what others have judged meanwhile."""
    perform = RetriedProvider.perform

    async def late(self: RetriedProvider, call: Any) -> Answer:
        return await perform(self, replace(call, deadline=call.deadline + timedelta(days=1)))

    return [(RetriedProvider, "perform", late)]


@bug
def asks_about_another_key() -> list[Swap]:
    """The worker asks the provider by our id and not by the provider's key."""
    find_out = Resolver._find_out

    async def confused(self: Resolver, operation: Any) -> Any:
        return await find_out(self, replace(operation, provider_key=operation.id))

    return [(Resolver, "_find_out", confused)]


@bug
def resumed_refusal_is_final() -> list[Swap]:
    """Whoever goes on with what a dead process sent takes a refusal for the end of it."""
    call = Payments._call

    async def hasty(self: Payments, intent: intents.Intent) -> Any:
        return await call(self, replace(intent, resumed=False))

    return [(Payments, "_call", hasty)]


@bug
def taken_for_dead_ends_it() -> list[Swap]:
    """A process that slept past its time ends what somebody else sends meanwhile."""
    call = Payments._call

    async def for_good(self: Payments, intent: intents.Intent) -> Any:
        return replace(await call(self, intent), turn=None)

    return [(Payments, "_call", for_good)]


@bug
def unfinished_key_is_reaped() -> list[Swap]:
    """A key goes by its age alone, whether it was answered or not."""
    reap = claims_repository._REAP.replace("AND response_status IS NOT NULL", "").replace(
        "response_body = NULL", "response_body = NULL, response_status = coalesce(response_status, 410)"
    )
    return [(claims_repository, "_REAP", reap)]


@bug
def stale_timestamp_is_accepted() -> list[Swap]:
    """A signed request counts however old it is."""
    return [(signing, "WINDOW_SECONDS", 10**6)]


@bug
def nonce_is_not_kept() -> list[Swap]:
    """A signed request counts as often as it is sent."""

    taken = "SELECT $1::text || $2::text || $3::timestamptz::text IS NOT NULL"
    return [(signing, "INSERT_NONCE", taken)]


@bug
def no_audit() -> list[Swap]:
    """An end is not put on record."""
    return [(settling, "record", nothing)]


@bug
def no_event() -> list[Swap]:
    """Nobody is told."""
    return [(settling, "append", nothing)]
