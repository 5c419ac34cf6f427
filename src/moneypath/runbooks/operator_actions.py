"""The operator actions of the reference payment service: audited HTTP operations, safe to repeat."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from tenacity import (
    AsyncRetrying,
    RetryError,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    wait_exponential,
    wait_fixed,
)

from moneypath.bounded_http import AnswerTooLarge, read_bounded
from moneypath.runbooks.declared_actions import DECLARED_ACTIONS
from moneypath.runbooks.ports import ActionCall, ActionRefused, ActionUnanswered, OperatorAction
from moneypath.stack.tokens import TokenSource, TokenUnavailable

MAX_ATTEMPTS: Final = 5
MAX_ANSWER_BYTES: Final = 64 * 1024
_ATTEMPT_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_APPROVAL_PAUSE_SECONDS: Final = 0.5
_ARGUMENT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def http_operator_actions(url: str, client_file: Path) -> dict[str, OperatorAction]:
    """Return the operator actions of the payment service at `url`.

    Each call uses a token with the scope of its action alone. The client in `client_file` (see
    `stack.tokens`) needs the scopes of all actions that are run.
    """
    base = url.rstrip("/")
    scopes = {action.scope for action in DECLARED_ACTIONS.values()}
    tokens = {scope: TokenSource(base, client_file, scope) for scope in scopes}
    return {
        name: http_operator_action(f"{base}/v1/operations/{action.path}", tokens[action.scope])
        for name, action in DECLARED_ACTIONS.items()
    }


def http_operator_action(url_pattern: str, tokens: TokenSource) -> OperatorAction:
    """Return an operator action that posts to `url_pattern`, each `{}` replaced by one argument."""
    return _HttpOperatorAction(url_pattern, tokens)


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    body: Mapping[str, Any]


@dataclass(slots=True)
class _CallProgress:
    """The state of a call; `maybe_effective` says that an attempt may have had its effect."""

    last: str = "no attempt"
    maybe_effective: bool = False
    awaits_approval: bool = False
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class _HttpOperatorAction:
    url_pattern: str
    tokens: TokenSource
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def __call__(self, call: ActionCall, /) -> Mapping[str, object]:
        """Post until there is a definitive answer, always with the call's idempotency key.

        A call that awaits an approval is sent again until a second person has decided, or time is up.
        Raises ActionRefused when it certainly had no effect, and ActionUnanswered when it may have had one.
        """
        url, progress = self._url(call), _CallProgress()
        try:
            async with (
                asyncio.timeout(call.timeout_seconds),
                aiohttp.ClientSession(headers={"Idempotency-Key": call.idempotency_key}) as session,
            ):
                return await self._ask(session, url, call, progress)
        except TimeoutError:
            progress.last = f"{progress.last}; time is up"
            if progress.awaits_approval and not progress.maybe_effective:
                raise ActionRefused(f"{call.name} was not approved: {progress.last}", hint=_APPROVE) from None
        except TokenUnavailable as error:
            progress.last = error.what
            if not progress.maybe_effective:
                raise ActionRefused(f"{call.name} has no token: {error.what}", hint=error.hint) from None
        raise _unanswered(call, progress)

    async def _ask(
        self, session: aiohttp.ClientSession, url: str, call: ActionCall, progress: _CallProgress
    ) -> Mapping[str, object]:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_TryAgain),
            stop=stop_after_attempt(MAX_ATTEMPTS),
            wait=wait_exponential(multiplier=_FIRST_PAUSE_SECONDS),
            sleep=self.sleep,
        )
        try:
            answer: Mapping[str, object] = await retrying(self._attempt, session, url, call, progress)
        except RetryError:
            raise _unanswered(call, progress) from None
        return answer

    async def _attempt(
        self, session: aiohttp.ClientSession, url: str, call: ActionCall, progress: _CallProgress
    ) -> Mapping[str, object]:
        """Post once, wait for an approval if it takes one, and return a definitive answer.

        Raises _TryAgain when another attempt may bring one.
        """
        # Nothing happens before the approval, and people take their time.
        approving = AsyncRetrying(
            retry=retry_if_result(lambda _: progress.awaits_approval),
            wait=wait_fixed(_APPROVAL_PAUSE_SECONDS),
            sleep=self.sleep,
        )
        answer: _Response | None = await approving(self._post_with_token, session, url, call, progress)
        if answer is not None and answer.status in {200, 201}:
            return answer.body
        if answer is not None and not _is_retryable(answer):
            if progress.maybe_effective:
                raise _unanswered(call, progress)
            raise ActionRefused(f"{call.name} was refused: {progress.last}", hint=_HINT)
        if answer is None or answer.status not in {409, 429}:
            progress.maybe_effective = True
        raise _TryAgain

    async def _post_with_token(
        self, session: aiohttp.ClientSession, url: str, call: ActionCall, progress: _CallProgress
    ) -> _Response | None:
        """Post with a token, once more with a fresh one if the first has expired."""
        header = await self.tokens.header_async()
        answer, progress.last = await _post(session, url, call, header)
        if answer is not None and answer.status == 401 and not progress.renewed:
            progress.renewed = True
            self.tokens.forget(header)
            answer, progress.last = await _post(session, url, call, await self.tokens.header_async())
        progress.awaits_approval = answer is not None and answer.body.get("awaits") == "approval"
        return answer

    def _url(self, call: ActionCall) -> str:
        wanted = self.url_pattern.count("{}")
        fits = len(call.arguments) == wanted and all(_ARGUMENT.fullmatch(text) for text in call.arguments)
        if not fits:
            raise ActionRefused(
                f"{call.name} takes {wanted} argument(s) of small letters, digits, _ and -",
                hint="Correct the step's `action`.",
            )
        return self.url_pattern.format(*call.arguments)


_HINT: Final = "Look at the state of the providers before you do anything else."
_APPROVE: Final = "Have another person approve it: GET /v1/approvals."


class _TryAgain(Exception):  # not an error: it tells the retry to go on
    """Another attempt may bring a definitive answer."""


def _unanswered(call: ActionCall, progress: _CallProgress) -> ActionUnanswered:
    return ActionUnanswered(f"{call.name} has no definitive answer: {progress.last}", hint=_HINT)


async def _post(
    session: aiohttp.ClientSession, url: str, call: ActionCall, header: str
) -> tuple[_Response | None, str]:
    """Return the answer with a description; no answer means that the effect is unknown."""
    try:
        async with session.post(
            url,
            json={"reason": call.reason},
            headers={"Authorization": header},
            timeout=aiohttp.ClientTimeout(total=_ATTEMPT_SECONDS),
            allow_redirects=False,
        ) as answer:
            body = json.loads(await read_bounded(answer, MAX_ANSWER_BYTES))
            if not isinstance(body, dict):
                return None, f"status {answer.status} without a JSON object"
            return _Response(answer.status, body), _describe_response(answer.status, body)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return None, type(error).__name__
    except AnswerTooLarge as error:
        return None, f"an answer of {error}"
    except (ValueError, RecursionError):
        return None, "an answer that is not JSON"


def _is_retryable(answer: _Response) -> bool:
    if answer.status == 409:
        return answer.body.get("code") == "idempotency_in_flight"
    return answer.status == 429 or answer.status >= 500 or answer.status == 202


def _describe_response(status: int, body: Mapping[str, Any]) -> str:
    detail = f" {str(body['detail'])[:200]}" if "detail" in body else ""
    if body.get("awaits") == "approval":
        detail = f" approval {str(body.get('approval_id', ''))[:60]} is pending"
    return f"status {status} {str(body.get('code', ''))[:60]}{detail}".rstrip()
