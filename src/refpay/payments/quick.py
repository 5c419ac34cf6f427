"""The quick way through both phases of an authorization: many at once, for as long as all is as expected.

Whatever is not (a key that was used before and has no answer yet, a reference in use, a blocked range, a row
that somebody else settled) is set aside for the one-by-one way, which decides. Nothing is decided here.
"""

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from refpay.clock import Clock
from refpay.db.errors import DatabaseUnavailable, TransactionConflicted
from refpay.db.pool import Connection, Database
from refpay.errors import InvariantViolation, RefpayError
from refpay.ids import mint_id
from refpay.ledger.repository import post
from refpay.payments import batch_repository
from refpay.payments.batching import Batcher
from refpay.payments.claims import Claim, Command, Reply
from refpay.payments.claims_repository import read_claims
from refpay.payments.errors import KeyReused
from refpay.payments.intents import Deadlines, Draft, Intent
from refpay.payments.model import Order
from refpay.payments.settling import Change
from refpay.providers.registry import CallableProvider
from refpay.providers.routing import read_routes
from refpay.risk.errors import RiskSilent
from refpay.risk.model import Attempt
from refpay.risk.ranges import note_suspicious
from refpay.risk.screening import TOO_LATE, Screening

# More at once would save little; each call holds its rows until its end.
MOST: Final = 32
LANES: Final = 3
# One row spoils the transaction for all: each is done again by itself.
_SPOILT: Final = (TransactionConflicted, asyncpg.PostgresError, InvariantViolation)


@dataclass(frozen=True, slots=True)
class Aside:
    """To be begun one by one; `silent` says that risk has just not answered."""

    silent: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """An authorization that somebody asks for."""

    command: Command
    order: Order


Begun = Intent | Reply | Aside


class QuickBeginning:
    """Begins authorizations: reads what decides them, then writes claims and intents, in one transaction."""

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, CallableProvider],
        *,
        deadlines: Mapping[str, Deadlines],
        screening: Screening,
        clock: Clock,
    ) -> None:
        self._database = database
        self._providers = providers
        self._deadlines = deadlines
        self._screening = screening
        self._clock = clock
        self._batcher = Batcher[Wanted, Begun](self._begin, most=MOST, lanes=LANES)

    async def begin(self, command: Command, order: Order) -> Begun:
        """Return a committed intent, the replay of a stored answer, or what is to be begun one by one.

        Raises what refuses the authorization without being stored, and DatabaseUnavailable.
        """
        return await self._batcher.submit(Wanted(command, order))

    async def _begin(self, wanted: Sequence[Wanted]) -> Sequence[Begun | BaseException]:
        results: list[Begun | BaseException] = [Aside()] * len(wanted)
        open_places: Collection[int] = range(len(wanted))
        intents: dict[int, Intent] = {}
        begun: set[UUID] = set()
        try:
            async with self._database.transaction() as connection:
                claims = await read_claims(connection, [one.command for one in wanted])
                for place, claim in claims.items():
                    results[place] = _replay(claim, wanted[place].command)
                drafts = self._draft(wanted, claims)
                open_places = drafts
                if drafts:
                    intents = await self._plan(connection, wanted, drafts, results)
                if intents:
                    begun = await self._write(connection, wanted, intents)
        except _SPOILT:
            return results
        except (RiskSilent, DatabaseUnavailable) as problem:
            for place in open_places:
                results[place] = Aside(silent=True) if isinstance(problem, RiskSilent) else problem
            return results
        for place, intent in intents.items():
            if intent.operation.id in begun:
                results[place] = intent
        return results

    def _draft(self, wanted: Sequence[Wanted], claims: Container[int]) -> Mapping[int, Draft]:
        """Return a draft for each first request with a key that nobody claimed yet."""
        now = self._clock.now()
        drafts: dict[tuple[str, str], tuple[int, Draft]] = {}
        for place, one in enumerate(wanted):
            name = (one.command.principal.name, one.command.key)
            if place not in claims and name not in drafts:
                draft = Draft(
                    command=one.command,
                    operation_id=mint_id(now),
                    now=now,
                    deadlines=self._deadlines,
                    providers=self._providers,
                )
                drafts[name] = (place, draft)
        return dict(drafts.values())

    async def _plan(
        self,
        connection: Connection,
        wanted: Sequence[Wanted],
        drafts: Mapping[int, Draft],
        results: list[Begun | BaseException],
    ) -> dict[int, Intent]:
        """Return what may be begun; what is refused for now, and not stored, goes to the results."""
        attempts = [draft.attempt(wanted[place].order) for place, draft in drafts.items()]
        try:
            assessments = await self._screening.screen_all(connection, attempts)
        except TOO_LATE as problem:
            raise RiskSilent("risk did not answer within its time") from problem
        routes = await read_routes(connection)
        intents: dict[int, Intent] = {}
        for (place, draft), assessment in zip(drafts.items(), assessments, strict=True):
            if assessment.blocked:
                continue
            try:
                intents[place] = draft.authorization(wanted[place].order, routes, assessment)
            except RefpayError as refusal:
                results[place] = refusal
        return intents

    async def _write(
        self, connection: Connection, wanted: Sequence[Wanted], intents: Mapping[int, Intent]
    ) -> set[UUID]:
        claimed = [(intent, wanted[place].command.fingerprint) for place, intent in intents.items()]
        begun = await batch_repository.write_intents(connection, claimed)
        for place, intent in intents.items():
            if intent.assessment is not None and intent.operation.id in begun:
                order, operation = wanted[place].order, intent.operation
                attempt = Attempt(
                    operation.id, operation.created_at, order.card_range, operation.amount_minor
                )
                await note_suspicious(connection, attempt, intent.assessment)
        return begun


def _replay(claim: Claim, command: Command) -> Begun | BaseException:
    try:
        return claim.replay_to(command) or Aside()
    except KeyReused as refusal:
        return refusal


class QuickSettling:
    """Settles authorizations that nobody else has touched since they were begun."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batcher = Batcher[Change, bool](self._settle, most=MOST, lanes=LANES)

    async def settle(self, change: Change) -> bool:
        """Write a final change; False, with nothing written, if it is to be settled under its lock.

        Raises DatabaseUnavailable as a transaction does.
        """
        return await self._batcher.submit(change)

    async def _settle(self, changes: Sequence[Change]) -> Sequence[bool]:
        try:
            async with self._database.transaction() as connection:
                settled = await batch_repository.write_changes(connection, changes)
                ours = [change.settlement for change in changes if change.before.id in settled]
                await post(connection, *(one.entry for one in ours if one.entry is not None))
        except _SPOILT:
            return [False] * len(changes)
        return [change.before.id in settled for change in changes]
