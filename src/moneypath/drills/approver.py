"""Approve, as a second person, the operator actions that a drill's runbook asks for."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp

from moneypath.bounded_http import read_bounded
from moneypath.drills.context import DrillContext
from moneypath.incidents.events import Actor
from moneypath.incidents.timeline import Kind
from moneypath.runbooks.context import new_idempotency_key
from moneypath.stack.tokens import TokenSource, TokenUnavailable

SCOPE: Final = "approvals:decide"
CLIENT_FILE: Final = "approver_client"
POLL_SECONDS: Final = 0.5
_ANSWER_SECONDS: Final = 5.0
_ANSWER_BYTES_MAX: Final = 256 * 1024
_PATH: Final = "/v1/approvals"


async def approve(context: DrillContext, actor: Actor) -> None:
    """Approve pending requests until cancelled, as a client other than the one that runs the actions.

    Only the operator actions of the drill's runbook are approved, and the log lists each. A service that does
    not answer is asked again.
    """
    actions = {step.instruction[0] for step in context.runbook.steps if step.is_action}
    tokens = TokenSource(context.endpoints.service, context.endpoints.secrets_folder / CLIENT_FILE, SCOPE)
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    async with aiohttp.ClientSession(context.endpoints.service, timeout=timeout) as session:
        while True:
            try:
                for one in await _pending(session, tokens):
                    if one.get("action") in actions and await _approve(session, tokens, one, context):
                        payload = {key: one.get(key) for key in ("approval_id", "action", "subject_id")}
                        context.log.append(Kind.APPROVED, str(one["action"]), payload, actor=actor)
            except (aiohttp.ClientError, TimeoutError, TokenUnavailable, ValueError):
                pass  # the approval stays pending, and the score shows what was not done
            await asyncio.sleep(POLL_SECONDS)


async def _pending(session: aiohttp.ClientSession, tokens: TokenSource) -> Sequence[Mapping[str, Any]]:
    headers = {"Authorization": await tokens.header_async()}
    async with session.get(_PATH, headers=headers) as answer:
        content = json.loads(await read_bounded(answer, _ANSWER_BYTES_MAX))
        if answer.status == 401:
            tokens.forget(headers["Authorization"])
    found = content.get("approvals", []) if isinstance(content, dict) else []
    return [one for one in found if isinstance(one, dict)]


async def _approve(
    session: aiohttp.ClientSession, tokens: TokenSource, one: Mapping[str, Any], context: DrillContext
) -> bool:
    headers = {"Authorization": await tokens.header_async(), "Idempotency-Key": new_idempotency_key()}
    reason = {"reason": f"drill {context.scenario.title}: the refunds are those of the reports"}
    path = f"{_PATH}/{one.get('approval_id')}/approve"
    async with session.post(path, json=reason, headers=headers) as answer:
        await read_bounded(answer, _ANSWER_BYTES_MAX)
        return answer.status == 200
