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

PROVIDER_DRAIN: Final = "provider.drain"
PROVIDER_RESTORE: Final = "provider.restore"
DEAD_LETTERS_REPLAY: Final = "dead-letters.replay"
# The argument is a card range, or `busiest`: no metric may name the range, so a page cannot.
RISK_BLOCK: Final = "risk.block"
RISK_UNBLOCK: Final = "risk.unblock"
DUPLICATES_REFUND: Final = "duplicates.refund"
SETTLEMENT_REFETCH: Final = "settlement.refetch"
_PATHS: Final[dict[str, str]] = {
    PROVIDER_DRAIN: "providers/{}/drain",
    PROVIDER_RESTORE: "providers/{}/restore",
    DEAD_LETTERS_REPLAY: "dead-letters/{}/replay",
    RISK_BLOCK: "risk/ranges/{}/block",
    RISK_UNBLOCK: "risk/ranges/{}/unblock",
    DUPLICATES_REFUND: "duplicates/{}/refund",
    SETTLEMENT_REFETCH: "settlements/{}/refetch",
}
LEVERS: Final = frozenset(_PATHS)

MAX_ATTEMPTS: Final = 5
MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_TOKEN_BYTES: Final = 4096
_ATTEMPT_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_TOKEN: Final = re.compile(rb"[!-~]+")
_ARGUMENT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def http_levers(url: str, token_file: Path) -> dict[str, Lever]:
    """Return the levers of the payment service at `url`.

    The token is read at each pull, so that a rotated one works; it needs the scopes of the levers
    that are pulled (`operations:route` for a provider's).
    """
    base = url.rstrip("/")
    return {name: http_lever(f"{base}/v1/operations/{path}", token_file) for name, path in _PATHS.items()}


def http_lever(url_pattern: str, token_file: Path) -> Lever:
    """Return a lever that posts to `url_pattern`, each `{}` replaced by one argument."""
    return _HttpLever(url_pattern, token_file)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _HttpLever:
    url_pattern: str
    token_file: Path

    async def __call__(self, call: LeverCall, /) -> Mapping[str, object]:
        """Post until there is a definitive answer, always with the call's own key.

        Raises LeverRefused when the service said no to every attempt that it answered, and
        LeverUnanswered when an attempt may have had its effect.
        """
        url = self._url(call)
        headers = {"Authorization": f"Bearer {self._token()}", "Idempotency-Key": call.idempotency_key}
        perhaps, last = False, "no attempt"
        pause = _FIRST_PAUSE_SECONDS
        try:
            async with (
                asyncio.timeout(call.timeout_seconds),
                aiohttp.ClientSession(headers=headers) as session,
            ):
                for attempt in range(1, MAX_ATTEMPTS + 1):
                    answer, last = await _post(session, url, call)
                    if answer is not None and answer.status in {200, 201}:
                        return answer.body
                    if answer is not None and not _worth_another(answer):
                        if perhaps:
                            break
                        raise LeverRefused(f"{call.name} was refused: {last}", hint=_HINT)
                    perhaps = perhaps or answer is None or answer.status not in {409, 429}
                    if attempt < MAX_ATTEMPTS:
                        await asyncio.sleep(pause)
                        pause *= 2
        except TimeoutError:
            last = f"{last}; time is up"
        raise LeverUnanswered(f"{call.name} has no definitive answer: {last}", hint=_HINT)

    def _url(self, call: LeverCall) -> str:
        wanted = self.url_pattern.count("{}")
        fits = len(call.arguments) == wanted and all(_ARGUMENT.fullmatch(text) for text in call.arguments)
        if not fits:
            raise LeverRefused(
                f"{call.name} takes {wanted} argument(s) of small letters, digits, _ and -",
                hint="correct the step's lever list",
            )
        return self.url_pattern.format(*call.arguments)

    def _token(self) -> str:
        try:
            with self.token_file.open("rb") as stream:
                token = stream.read(MAX_TOKEN_BYTES + 1)
        except OSError as error:
            what = f"the operations token cannot be read: {self.token_file.name} ({error.strerror})"
            raise LeverRefused(what, hint="name a file that holds a token with operations:route") from None
        text = token.strip()
        if len(token) > MAX_TOKEN_BYTES or not _TOKEN.fullmatch(text):
            what = f"the operations token is not one: {self.token_file.name}"
            raise LeverRefused(what, hint="the file holds one token and nothing else")
        return text.decode("ascii")


_HINT: Final = "look at the state of the providers before doing anything else"


async def _post(session: aiohttp.ClientSession, url: str, call: LeverCall) -> tuple[_Answer | None, str]:
    """Return the answer, or None when nobody knows whether there was an effect; and words for it."""
    try:
        async with session.post(
            url,
            json={"reason": call.reason},
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
    return f"status {status} {str(body.get('code', ''))[:60]}{detail}".rstrip()
