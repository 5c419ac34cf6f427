"""Check operator actions: those with `try_with` are done, asked for again, and undone."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.target.conformance.finding import Contract, ContractFinding
from moneypath.target.contracts import Action
from moneypath.target.exchange import Exchange

ACTIONS: Final = Contract.ACTIONS
REASON: Final = "moneypath target check"


async def check_actions(exchange: Exchange, refusal: str) -> AsyncIterator[ContractFinding]:
    """Yield a finding for each operator action; `refusal` says why none may be tried, if so."""
    actions = exchange.target.document.actions
    if not actions:
        yield ContractFinding.missing(ACTIONS, "No operator actions: no step of a runbook can be run.")
    undoes = {action.undo for action in actions.values() if action.try_with is not None}
    for name, action in actions.items():
        if name in undoes:
            continue
        if action.try_with is None:
            yield ContractFinding.not_tried(ACTIONS, f"{name}: has no `try_with`, so it was not tried.")
        elif refusal:
            yield ContractFinding.not_tried(ACTIONS, f"{name}: {refusal}")
        elif action.second_person:
            yield ContractFinding.not_tried(ACTIONS, f"{name}: needs a second person, so it was not tried.")
        else:
            yield await _try(exchange, name, action, action.try_with)


async def _try(exchange: Exchange, name: str, action: Action, values: tuple[str, ...]) -> ContractFinding:
    given = dict(zip(action.arguments, values, strict=True))
    key = {"reason": REASON, "idempotency_key": str(uuid.uuid4())}
    problem, undo = "", exchange.target.document.actions[action.undo or name]
    try:
        await exchange.ask(action.call, {**given, **key})
        # The same key again: a retry after a lost answer must be safe.
        await exchange.ask(action.call, {**given, **key})
    except MoneypathError as error:
        problem = error.what
    undoing = exchange.ask(undo.call, {**given, "reason": REASON, "idempotency_key": str(uuid.uuid4())})
    try:
        await asyncio.shield(undoing)
    except MoneypathError as error:
        undone = f"and {action.undo} did not undo it: {error.what}"
        return ContractFinding.fails(ACTIONS, f"{name}: {problem or 'was done'} {undone}")
    if problem:
        return ContractFinding.fails(ACTIONS, f"{name}: {problem}")
    return ContractFinding.holds(
        ACTIONS, f"{name} {' '.join(values)}: done, asked for again, and undone by {action.undo}."
    )
