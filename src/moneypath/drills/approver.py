"""Approve, as a second person, the operator actions that a drill's runbook asks for."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from moneypath.drills.context import DrillContext
from moneypath.errors import MoneypathError
from moneypath.incidents.events import Actor
from moneypath.incidents.timeline import Kind
from moneypath.runbooks.context import new_idempotency_key
from moneypath.target.contracts import Approvals
from moneypath.target.exchange import Exchange

POLL_SECONDS: Final = 0.5
_TOLD: Final = ("approval_id", "action", "subject_id")


async def approve(context: DrillContext, actor: Actor) -> None:
    """Approve pending requests until cancelled, as a client other than the one that runs the actions.

    Only the operator actions of the drill's runbook are approved, and the log lists each. A service that does
    not answer is asked again. Where the target says nothing of approvals, nobody can approve.
    """
    approvals = context.exchange.target.document.approvals
    if approvals is None:
        return
    actions = {step.instruction[0] for step in context.runbook.steps if step.is_action}
    reason = f"drill {context.scenario.title}: its runbook asks for it"
    while True:
        try:
            for one in await _pending(context.exchange, approvals):
                if one.get("action") in actions:
                    await _approve(context.exchange, approvals, one, reason)
                    payload = {key: one.get(key) for key in _TOLD}
                    context.log.append(Kind.APPROVED, str(one["action"]), payload, actor=actor)
        except MoneypathError:
            # The approval stays pending, and the score shows what was not done. A token may have expired.
            context.exchange.access.forget_tokens()
        await asyncio.sleep(POLL_SECONDS)


async def _pending(exchange: Exchange, approvals: Approvals) -> list[Mapping[str, Any]]:
    found = (await exchange.ask(approvals.pending)).field(approvals.items)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


async def _approve(exchange: Exchange, approvals: Approvals, one: Mapping[str, Any], reason: str) -> None:
    key = new_idempotency_key()
    arguments = {"approval_id": str(one.get("approval_id")), "reason": reason, "idempotency_key": key}
    await exchange.ask(approvals.approve, arguments)
