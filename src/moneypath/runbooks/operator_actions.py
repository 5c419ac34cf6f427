"""The operator actions of a target: calls that its file tells, audited by it, safe to repeat."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tenacity import (
    AsyncRetrying,
    RetryError,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    wait_exponential,
    wait_fixed,
)

from moneypath.runbooks.ports import ActionCall, ActionRefused, ActionUnanswered, OperatorAction
from moneypath.secret_files import SecretFileUnusable
from moneypath.stack.tokens import TokenUnavailable
from moneypath.target.contracts import Action
from moneypath.target.errors import CallUnanswered
from moneypath.target.exchange import Answer, Exchange

MAX_ATTEMPTS: Final = 5
_FIRST_PAUSE_SECONDS: Final = 0.1
_APPROVAL_PAUSE_SECONDS: Final = 0.5
_ARGUMENT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_UNAUTHORIZED: Final = 401
_CONFLICT: Final = 409
_BUSY: Final = 429
_ACCEPTED: Final = 202
_SERVER_ERROR: Final = 500


def target_actions(exchange: Exchange) -> dict[str, OperatorAction]:
    """Return the operator actions of a target by name; each call is tried until its answer is definitive."""
    actions = exchange.target.document.actions
    return {name: _TargetAction(exchange, action) for name, action in actions.items()}


@dataclass(slots=True)
class _CallProgress:
    """The state of a call; `maybe_effective` says that an attempt may have had its effect."""

    last: str = "no attempt"
    maybe_effective: bool = False
    awaits_approval: bool = False
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class _TargetAction:
    exchange: Exchange
    action: Action
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def __call__(self, call: ActionCall, /) -> Mapping[str, object]:
        """Ask until there is a definitive answer, always with the call's idempotency key.

        A call that awaits an approval is sent again until a second person has decided, or time is up.
        Raises ActionRefused when it certainly had no effect, and ActionUnanswered when it may have had one.
        """
        arguments, progress = self._arguments(call), _CallProgress()
        try:
            async with asyncio.timeout(call.timeout_seconds):
                return await self._ask(arguments, call, progress)
        except TimeoutError:
            progress.last = f"{progress.last}; time is up"
            if progress.awaits_approval and not progress.maybe_effective:
                raise ActionRefused(f"{call.name} was not approved: {progress.last}", hint=_APPROVE) from None
        except (TokenUnavailable, SecretFileUnusable) as error:
            progress.last = error.what
            if not progress.maybe_effective:
                raise ActionRefused(f"{call.name} has no token: {error.what}", hint=error.hint) from None
        raise _unanswered(call, progress)

    async def _ask(
        self, arguments: Mapping[str, str], call: ActionCall, progress: _CallProgress
    ) -> Mapping[str, object]:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_TryAgain),
            stop=stop_after_attempt(MAX_ATTEMPTS),
            wait=wait_exponential(multiplier=_FIRST_PAUSE_SECONDS),
            sleep=self.sleep,
        )
        try:
            answer: Mapping[str, object] = await retrying(self._attempt, arguments, call, progress)
        except RetryError:
            raise _unanswered(call, progress) from None
        return answer

    async def _attempt(
        self, arguments: Mapping[str, str], call: ActionCall, progress: _CallProgress
    ) -> Mapping[str, object]:
        """Ask once, wait for an approval if it takes one, and return a definitive answer.

        Raises _TryAgain when another attempt may bring one.
        """
        # Nothing happens before the approval, and people take their time.
        approving = AsyncRetrying(
            retry=retry_if_result(lambda _: progress.awaits_approval),
            wait=wait_fixed(_APPROVAL_PAUSE_SECONDS),
            sleep=self.sleep,
        )
        answer: Answer | None = await approving(self._send_with_token, arguments, progress)
        if answer is not None and self._is_good(answer):
            return answer.fields
        if answer is not None and not _is_retryable(answer):
            if progress.maybe_effective:
                raise _unanswered(call, progress)
            raise ActionRefused(f"{call.name} was refused: {progress.last}", hint=_HINT)
        if answer is None or answer.status not in {_CONFLICT, _BUSY}:
            progress.maybe_effective = True
        raise _TryAgain

    async def _send_with_token(self, arguments: Mapping[str, str], progress: _CallProgress) -> Answer | None:
        """Ask with a token, once more with a fresh one if the first has expired."""
        answer, progress.last = await self._send(arguments)
        if answer is not None and answer.status == _UNAUTHORIZED and not progress.renewed:
            progress.renewed = True
            self.exchange.access.forget_tokens()
            answer, progress.last = await self._send(arguments)
        progress.awaits_approval = answer is not None and answer.field("awaits") == "approval"
        return answer

    async def _send(self, arguments: Mapping[str, str]) -> tuple[Answer | None, str]:
        """Return the answer with a description; no answer means that the effect is unknown."""
        try:
            answer = await self.exchange.send(self.action.call, arguments)
        except CallUnanswered as error:
            return None, self.exchange.access.masked(error.what)
        if self.action.call.command is not None and answer.status != 0:
            # A command may have had its effect before it failed.
            return None, f"exit code {answer.status}"
        if not answer.is_object_or_empty:
            # Cut off, or of somebody else: what it says of the effect nobody knows.
            return None, f"status {answer.status} without a JSON object"
        # What a service answers may quote the secret that it was asked with, and this stands in evidence.
        return answer, _describe(answer, self.exchange.access.masked)

    def _is_good(self, answer: Answer) -> bool:
        return not self.exchange.problem_with(self.action.call, answer)

    def _arguments(self, call: ActionCall) -> dict[str, str]:
        names = self.action.arguments
        fits = len(call.arguments) == len(names) and all(_ARGUMENT.fullmatch(text) for text in call.arguments)
        if not fits:
            raise ActionRefused(
                f"{call.name} takes {len(names)} argument(s) of small letters, digits, _ and -",
                hint="Correct the step's `action`.",
            )
        given = dict(zip(names, call.arguments, strict=True))
        return {**given, "reason": call.reason, "idempotency_key": call.idempotency_key}


_HINT: Final = "Look at the state of the providers before you do anything else."
_APPROVE: Final = "Have another person approve it."


class _TryAgain(Exception):  # not an error: it tells the retry to go on
    """Another attempt may bring a definitive answer."""


def _unanswered(call: ActionCall, progress: _CallProgress) -> ActionUnanswered:
    return ActionUnanswered(f"{call.name} has no definitive answer: {progress.last}", hint=_HINT)


def _is_retryable(answer: Answer) -> bool:
    if answer.status == _CONFLICT:
        return answer.field("code") == "idempotency_in_flight"
    return answer.status in {_ACCEPTED, _BUSY} or answer.status >= _SERVER_ERROR


def _describe(answer: Answer, masked: Callable[[str], str]) -> str:
    detail = f" {masked(str(answer.field('detail')))[:200]}" if answer.field("detail") is not None else ""
    if answer.field("awaits") == "approval":
        detail = f" approval {masked(str(answer.field('approval_id') or ''))[:60]} is pending"
    return f"status {answer.status} {masked(str(answer.field('code') or ''))[:60]}{detail}".rstrip()
