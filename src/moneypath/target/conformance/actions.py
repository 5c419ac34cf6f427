"""Check operator actions: those with `try_with` are done, asked for again, and undone."""

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.target.conformance.finding import Contract, ContractFinding
from moneypath.target.conformance.finishing import finish, told
from moneypath.target.contracts import Action, Approvals
from moneypath.target.errors import CallRefused
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
        if action.try_with is None and name in undoes:
            continue  # tried with what it undoes
        if action.try_with is None:
            yield ContractFinding.not_tried(ACTIONS, f"{name}: has no `try_with`, so it was not tried.")
        elif refusal:
            yield ContractFinding.not_tried(ACTIONS, f"{name}: {refusal}")
        elif action.second_person:
            yield ContractFinding.not_tried(ACTIONS, f"{name}: needs a second person, so it was not tried.")
        else:
            yield await _try(exchange, name, action, action.try_with)
    if (approvals := exchange.target.document.approvals) is not None:
        yield await _approvals(exchange, approvals)
    elif any(action.second_person for action in actions.values()):
        what = "No `approvals`: in a drill nobody can approve what needs a second person."
        yield ContractFinding.missing(ACTIONS, what)


async def _approvals(exchange: Exchange, approvals: Approvals) -> ContractFinding:
    try:
        waiting = (await exchange.ask(approvals.pending)).field(approvals.items)
    except MoneypathError as error:
        return ContractFinding.fails(ACTIONS, f"approvals: {told(error)}")
    if not isinstance(waiting, list):
        return ContractFinding.fails(ACTIONS, f"approvals: there is no list at {approvals.items}.")
    return ContractFinding.holds(ACTIONS, f"What awaits an approval can be listed; {len(waiting)} are there.")


async def _try(exchange: Exchange, name: str, action: Action, values: tuple[str, ...]) -> ContractFinding:
    given = dict(zip(action.arguments, values, strict=True))
    key = {"reason": REASON, "idempotency_key": str(uuid.uuid4())}
    problem, undo = "", exchange.target.document.actions[action.undo or name]
    undoing = _ask(exchange, undo, {**given, "reason": REASON, "idempotency_key": str(uuid.uuid4())})
    try:
        await _ask(exchange, action, {**given, **key})
        # The same key again: a retry after a lost answer must be safe.
        await _ask(exchange, action, {**given, **key})
    except MoneypathError as error:
        problem = told(error)
    except BaseException:
        # Ctrl-C: what was done is undone first.
        await finish(undoing)
        raise
    try:
        await finish(undoing)
    except MoneypathError as error:
        undone = f"and {action.undo} did not undo it: {told(error)}"
        return ContractFinding.fails(ACTIONS, f"{name}: {problem or 'was done'} {undone}")
    if problem:
        return ContractFinding.fails(ACTIONS, f"{name}: {problem}")
    return ContractFinding.holds(
        ACTIONS, f"{name} {' '.join(values)}: done, asked for again, and undone by {action.undo}."
    )


async def _ask(exchange: Exchange, action: Action, arguments: Mapping[str, str]) -> None:
    """Ask as a runbook does: raises CallRefused for an answer that a runbook could not use either."""
    answer = await exchange.ask(action.call, arguments)
    if answer.field("awaits") == "approval":
        raise CallRefused("awaits an approval: say `second_person: true`.")
    if not answer.is_object_or_empty:
        raise CallRefused("answered something else than a JSON object, or nothing.")
