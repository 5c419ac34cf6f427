"""The levers of the reference payment service: HTTP operations, audited, safe to ask twice."""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from moneypath.runbooks.ports import Lever, LeverCall, LeverRefused, LeverUnanswered
from moneypath.runbooks.transport import AnswerTooLarge, read_bounded
from moneypath.stack.tokens import TokenSource, TokenUnavailable

PROVIDER_DRAIN: Final = "provider.drain"
PROVIDER_RESTORE: Final = "provider.restore"
DEAD_LETTERS_REPLAY: Final = "dead-letters.replay"
# The argument is a card range, or `busiest`: no metric may name the range, so a page cannot.
RISK_BLOCK: Final = "risk.block"
RISK_UNBLOCK: Final = "risk.unblock"
DUPLICATES_REFUND: Final = "duplicates.refund"
SETTLEMENT_REFETCH: Final = "settlement.refetch"
# Where a lever is pulled, and the one scope that it needs.
_PATHS: Final[dict[str, tuple[str, str]]] = {
    PROVIDER_DRAIN: ("providers/{}/drain", "operations:route"),
    PROVIDER_RESTORE: ("providers/{}/restore", "operations:route"),
    DEAD_LETTERS_REPLAY: ("dead-letters/{}/replay", "operations:replay"),
    RISK_BLOCK: ("risk/ranges/{}/block", "operations:risk"),
    RISK_UNBLOCK: ("risk/ranges/{}/unblock", "operations:risk"),
    DUPLICATES_REFUND: ("duplicates/{}/refund", "operations:repair"),
    SETTLEMENT_REFETCH: ("settlements/{}/refetch", "operations:route"),
}
LEVERS: Final = frozenset(_PATHS)

MAX_ATTEMPTS: Final = 5
MAX_ANSWER_BYTES: Final = 64 * 1024
_ATTEMPT_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_APPROVAL_PAUSE_SECONDS: Final = 0.5
_ARGUMENT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def http_levers(url: str, client_file: Path) -> dict[str, Lever]:
    """Return the levers of the payment service at `url`.

    Each pull uses a token with the lever's own scope alone; the client (see `stack.tokens`) needs the scopes
    of those that are pulled.
    """
    base = url.rstrip("/")
    scopes = {scope for _, scope in _PATHS.values()}
    tokens = {scope: TokenSource(base, client_file, scope) for scope in scopes}
    return {
        name: http_lever(f"{base}/v1/operations/{path}", tokens[scope])
        for name, (path, scope) in _PATHS.items()
    }


def http_lever(url_pattern: str, tokens: TokenSource) -> Lever:
    """Return a lever that posts to `url_pattern`, each `{}` replaced by one argument."""
    return _HttpLever(url_pattern, tokens)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: Mapping[str, Any]


@dataclass(slots=True)
class _Asked:
    """How far a pull has come; `perhaps`: an attempt may have had its effect."""

    last: str = "no attempt"
    perhaps: bool = False
    awaits_approval: bool = False
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class _HttpLever:
    url_pattern: str
    tokens: TokenSource

    async def __call__(self, call: LeverCall, /) -> Mapping[str, object]:
        """Post until there is a definitive answer, always with the call's own key.

        What awaits an approval is asked again until a second person has decided, or the time is up. Raises
        LeverRefused when it certainly had no effect, and LeverUnanswered when an attempt may have had one.
        """
        url, asked = self._url(call), _Asked()
        try:
            async with (
                asyncio.timeout(call.timeout_seconds),
                aiohttp.ClientSession(headers={"Idempotency-Key": call.idempotency_key}) as session,
            ):
                return await self._ask(session, url, call, asked)
        except TimeoutError:
            asked.last = f"{asked.last}; time is up"
            if asked.awaits_approval and not asked.perhaps:
                raise LeverRefused(f"{call.name} was not approved: {asked.last}", hint=_APPROVE) from None
        except TokenUnavailable as error:
            asked.last = error.what
            if not asked.perhaps:
                raise LeverRefused(f"{call.name} has no token: {error.what}", hint=error.hint) from None
        raise LeverUnanswered(f"{call.name} has no definitive answer: {asked.last}", hint=_HINT)

    async def _ask(
        self, session: aiohttp.ClientSession, url: str, call: LeverCall, asked: _Asked
    ) -> Mapping[str, object]:
        attempts, pause = 0, _FIRST_PAUSE_SECONDS
        while attempts < MAX_ATTEMPTS:
            header = await self.tokens.header_soon()
            answer, asked.last = await _post(session, url, call, header)
            if answer is not None and answer.status in {200, 201}:
                return answer.body
            asked.awaits_approval = answer is not None and answer.body.get("awaits") == "approval"
            if asked.awaits_approval:
                # Nothing has happened yet, and people take their time.
                await asyncio.sleep(_APPROVAL_PAUSE_SECONDS)
                continue
            attempts += 1
            if answer is not None and answer.status == 401 and not asked.renewed:
                asked.renewed = True
                self.tokens.forget(header)
                continue
            if answer is not None and not _worth_another(answer):
                if asked.perhaps:
                    break
                raise LeverRefused(f"{call.name} was refused: {asked.last}", hint=_HINT)
            asked.perhaps = asked.perhaps or answer is None or answer.status not in {409, 429}
            if attempts < MAX_ATTEMPTS:
                await asyncio.sleep(pause)
                pause *= 2
        raise LeverUnanswered(f"{call.name} has no definitive answer: {asked.last}", hint=_HINT)

    def _url(self, call: LeverCall) -> str:
        wanted = self.url_pattern.count("{}")
        fits = len(call.arguments) == wanted and all(_ARGUMENT.fullmatch(text) for text in call.arguments)
        if not fits:
            raise LeverRefused(
                f"{call.name} takes {wanted} argument(s) of small letters, digits, _ and -",
                hint="correct the step's lever list",
            )
        return self.url_pattern.format(*call.arguments)


_HINT: Final = "look at the state of the providers before doing anything else"
_APPROVE: Final = "another person than the one who pulls approves it: GET /v1/approvals"


async def _post(
    session: aiohttp.ClientSession, url: str, call: LeverCall, header: str
) -> tuple[_Answer | None, str]:
    """Return the answer, or None when nobody knows whether there was an effect; and words for it."""
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
            return _Answer(answer.status, body), _words(answer.status, body)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return None, type(error).__name__
    except AnswerTooLarge as error:
        return None, f"an answer of {error}"
    except (ValueError, RecursionError):
        return None, "an answer that is not JSON"


def _worth_another(answer: _Answer) -> bool:
    if answer.status == 409:
        return answer.body.get("code") == "idempotency_in_flight"
    return answer.status == 429 or answer.status >= 500 or answer.status == 202


def _words(status: int, body: Mapping[str, Any]) -> str:
    detail = f" {str(body['detail'])[:200]}" if "detail" in body else ""
    if body.get("awaits") == "approval":
        detail = f" approval {str(body.get('approval_id', ''))[:60]} is pending"
    return f"status {status} {str(body.get('code', ''))[:60]}{detail}".rstrip()
