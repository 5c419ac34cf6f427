"""The second person of a drill: looks at what waits for an approval, and approves what the runbook orders."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp

from moneypath.drills.course import Course
from moneypath.incidents.events import Actor
from moneypath.incidents.timeline import Kind
from moneypath.runbooks.context import mint_key
from moneypath.runbooks.transport import read_bounded
from moneypath.stack.tokens import TokenSource, TokenUnavailable

SCOPE: Final = "approvals:decide"
CLIENT_FILE: Final = "approver_client"
LOOK_SECONDS: Final = 0.5
_ANSWER_SECONDS: Final = 5.0
_ANSWER_BYTES_MAX: Final = 256 * 1024
_PATH: Final = "/v1/approvals"


async def approve(course: Course, actor: Actor) -> None:
    """Approve until cancelled, as another client than the one that pulls the levers.

    Only what a lever of the drill's runbook asks for, each as it was asked; the log says what. A service
    that does not answer is asked again.
    """
    levers = {step.action[0] for step in course.runbook.steps if step.pulls_lever}
    tokens = TokenSource(course.endpoints.refpay, course.endpoints.secrets_folder / CLIENT_FILE, SCOPE)
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    async with aiohttp.ClientSession(course.endpoints.refpay, timeout=timeout) as session:
        while True:
            try:
                for one in await _pending(session, tokens):
                    if one.get("action") in levers and await _approve(session, tokens, one, course):
                        payload = {key: one.get(key) for key in ("approval_id", "action", "subject_id")}
                        course.log.append(Kind.APPROVED, str(one["action"]), payload, actor=actor)
            except (aiohttp.ClientError, TimeoutError, TokenUnavailable, ValueError):
                pass  # what waits goes on waiting, and the score finds what is not done
            await asyncio.sleep(LOOK_SECONDS)


async def _pending(session: aiohttp.ClientSession, tokens: TokenSource) -> Sequence[Mapping[str, Any]]:
    headers = {"Authorization": await tokens.header_soon()}
    async with session.get(_PATH, headers=headers) as answer:
        content = json.loads(await read_bounded(answer, _ANSWER_BYTES_MAX))
        if answer.status == 401:
            tokens.forget(headers["Authorization"])
    found = content.get("approvals", []) if isinstance(content, dict) else []
    return [one for one in found if isinstance(one, dict)]


async def _approve(
    session: aiohttp.ClientSession, tokens: TokenSource, one: Mapping[str, Any], course: Course
) -> bool:
    headers = {"Authorization": await tokens.header_soon(), "Idempotency-Key": mint_key()}
    reason = {"reason": f"drill {course.scenario.title}: the refunds are those of the reports"}
    path = f"{_PATH}/{one.get('approval_id')}/approve"
    async with session.post(path, json=reason, headers=headers) as answer:
        await read_bounded(answer, _ANSWER_BYTES_MAX)
        return answer.status == 200
