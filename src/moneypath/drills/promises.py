"""Look at what the operator actions of a drill promised, and record what the witnesses count.

The counts come from the providers' own books, the ledger and Prometheus: nothing here asks the service that
the actions changed. `runbook_criteria` judges them.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from moneypath import oracle
from moneypath.drills.actions_taken import ActionsTaken, ActionTaken
from moneypath.drills.canary import Canary
from moneypath.drills.context import DrillContext
from moneypath.errors import MoneypathError
from moneypath.incidents.timeline import Kind
from moneypath.oracle.duplicate_checks import check_provider_keys_charge_once
from moneypath.oracle.records import Charge, Operation, PostingLine
from moneypath.runbooks import action_promises as declared
from moneypath.runbooks.holding import counted
from moneypath.stack.endpoints import Endpoints

UNDER_WAY_SECONDS: Final = 5.0
"""Real time: a payment that was under way when an action was answered may still reach its provider."""
SERVED_AGAIN_SECONDS: Final = 5.0
PROBES: Final = 3
# Above what risk calls small, so that a probe is no signal of card testing.
PROBE_AMOUNT_MINOR: Final = 2500
_RELEASE_ENTRY: Final = "suspense_release"


@dataclass(frozen=True, slots=True)
class Found:
    """What a witness counted: `number` for the promise, `evidence` beside it; None is not known."""

    number: float | None
    evidence: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Witnesses:
    """What is read once for all promises of a drill; `ended_at` is when the load ended, in Unix seconds."""

    actions: ActionsTaken
    books: Mapping[str, Sequence[Charge]]
    postings: Sequence[PostingLine]
    served: Mapping[str, Sequence[oracle.ReportTaken]]
    context: DrillContext
    ended_at: float

    def until(self, action: ActionTaken, opposite: str) -> float:
        """Return when the promise of an action ended: when the opposite was asked for, or with the load."""
        asked = self.actions.next_asked(action, opposite)
        return self.ended_at if asked is None else asked

    def authorized(self, provider: str, since: float, until: float) -> list[Charge]:
        """Return the authorizations of a time in a provider's book, however they ended."""
        return [
            charge
            for charge in self.books[provider]
            if charge.operation is Operation.AUTHORIZE and since <= charge.at < until
        ]


async def probe(context: DrillContext, canary: Canary) -> None:
    """Send a few payments of each card range that was unblocked: without any, nobody knows that they pass."""
    for action in context.actions_taken.taken:
        card_range = context.actions_taken.last_card_range(action)
        if action.name == declared.RISK_UNBLOCK and card_range:
            for _ in range(PROBES):
                await canary.send(card_range=card_range, amount_minor=PROBE_AMOUNT_MINOR)


async def record_promises(context: DrillContext, endpoints: Endpoints) -> None:
    """Record for every operator action that was answered what its witness counts.

    What cannot be read is recorded as not known, and so as broken.
    """
    ended_at = time.time()
    answered = [one for one in context.actions_taken.taken if one.answered_at is not None]
    witnesses: _Witnesses | None = None
    problem = ""
    try:
        witnesses = await _read(context, endpoints, ended_at) if answered else None
    except MoneypathError as error:
        problem = error.what
    for action in answered:
        found = Found(None, reason=problem) if witnesses is None else await _count(action, witnesses)
        payload = {
            "action": action.name,
            "argument": action.argument,
            "key": action.key,
            "found": found.number,
            "evidence": found.evidence,
            "reason": found.reason,
        }
        context.log.append(Kind.PROMISE_CHECKED, action.name, payload, source="witnesses")


async def _read(context: DrillContext, endpoints: Endpoints, ended_at: float) -> _Witnesses:
    tokens = {
        name: (endpoints.secrets_folder / f"{name}_control_token").read_text(encoding="utf-8").strip()
        for name in endpoints.providers
    }
    return _Witnesses(
        actions=context.actions_taken,
        books={
            name: await oracle.read_provider_book(url, tokens[name])
            for name, url in endpoints.providers.items()
        },
        postings=await oracle.read_postings(endpoints.oracle_dsn),
        served={
            name: await oracle.read_reports_taken(url, tokens[name])
            for name, url in endpoints.providers.items()
        },
        context=context,
        ended_at=ended_at,
    )


async def _count(action: ActionTaken, witnesses: _Witnesses) -> Found:
    counting = _COUNTS.get(action.name)
    if counting is None:
        return Found(None, reason="it is not said how to count it")
    try:
        return await counting(action, witnesses)
    except (MoneypathError, KeyError) as error:
        return Found(None, reason=error.what if isinstance(error, MoneypathError) else f"unknown: {error}")


async def _drained(action: ActionTaken, witnesses: _Witnesses) -> Found:
    since = _answered_at(action) + UNDER_WAY_SECONDS
    until = witnesses.until(action, declared.PROVIDER_RESTORE)
    others = (name for name in witnesses.books if name != action.argument)
    elsewhere = sum(len(witnesses.authorized(name, since, until)) for name in others)
    return Found(len(witnesses.authorized(action.argument, since, until)), elsewhere)


async def _restored(action: ActionTaken, witnesses: _Witnesses) -> Found:
    until = witnesses.until(action, declared.PROVIDER_DRAIN)
    return Found(len(witnesses.authorized(action.argument, _answered_at(action), until)))


async def _blocked(action: ActionTaken, witnesses: _Witnesses) -> Found:
    since = _answered_at(action) + UNDER_WAY_SECONDS
    return _of_range(action, witnesses, since, witnesses.until(action, declared.RISK_UNBLOCK))


async def _unblocked(action: ActionTaken, witnesses: _Witnesses) -> Found:
    since = _answered_at(action)
    return _of_range(action, witnesses, since, witnesses.until(action, declared.RISK_BLOCK))


def _of_range(action: ActionTaken, witnesses: _Witnesses, since: float, until: float) -> Found:
    card_range = witnesses.actions.last_card_range(action)
    if card_range is None:
        return Found(None, reason="neither the action nor its answer names the range")
    reached = [
        charge
        for name in witnesses.books
        for charge in witnesses.authorized(name, since, until)
        if charge.card_range == card_range
    ]
    return Found(len(reached))


async def _refunded(action: ActionTaken, witnesses: _Witnesses) -> Found:
    book = witnesses.books[action.argument]
    left = oracle.find_discrepancies(witnesses.postings, book, (), checks=(check_provider_keys_charge_once,))
    return Found(len(left))


async def _refetched(action: ActionTaken, witnesses: _Witnesses) -> Found:
    """Count the reports that were served again at once, of those that had been served before."""
    asked, served = action.asked_at, witnesses.served[action.argument]
    before = {one.sequence for one in served if one.at < asked}
    soon = {one.sequence for one in served if asked <= one.at < asked + SERVED_AGAIN_SECONDS}
    return Found(len(before & soon))


async def _replayed(action: ActionTaken, witnesses: _Witnesses) -> Found:
    query = f'sum(max by (reason) (moneypath_dead_letter_depth{{queue="{action.argument}"}})) or vector(0)'
    return Found(counted(await witnesses.context.query(query)))


async def _released(action: ActionTaken, witnesses: _Witnesses) -> Found:
    keys = {line.provider_key for line in witnesses.postings if line.operation_id == action.argument}
    entries = {
        line.entry_id
        for line in witnesses.postings
        if line.entry_kind == _RELEASE_ENTRY and line.provider_key in keys
    }
    return Found(len(entries))


def _answered_at(action: ActionTaken) -> float:
    return action.asked_at if action.answered_at is None else action.answered_at


_Count: TypeAlias = Callable[[ActionTaken, _Witnesses], Awaitable[Found]]
_COUNTS: Final[Mapping[str, _Count]] = {
    declared.PROVIDER_DRAIN: _drained,
    declared.PROVIDER_RESTORE: _restored,
    declared.RISK_BLOCK: _blocked,
    declared.RISK_UNBLOCK: _unblocked,
    declared.DUPLICATES_REFUND: _refunded,
    declared.SETTLEMENT_REFETCH: _refetched,
    declared.DEAD_LETTERS_REPLAY: _replayed,
    declared.SUSPENSE_RELEASE: _released,
}
