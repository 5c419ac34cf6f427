"""What both dialects share: one bounded exchange, and what its failures say about effects."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from moneypath.telemetry import correlation
from moneypath.telemetry.tracing import current_span
from refpay.providers.errors import ProviderRefused, ProviderSilent
from refpay.settings import ProviderSettings

_ANSWER_MAXIMUM_BYTES: Final = 16 * 1024
_CONNECTIONS_MAXIMUM: Final = 256

# The header of a dialect that says who we are, and the form of its value.
Credential = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A status and the JSON object that came with it; empty if there was none."""

    status: int
    body: Mapping[str, Any]


def say_who(credential: Credential, settings: ProviderSettings) -> dict[str, str]:
    """Return the header that says who we are."""
    name, form = credential
    return {name: form.format(settings.api_key)}


def open_session() -> aiohttp.ClientSession:
    """Return the connection pool to all providers; time-outs belong to the decorator."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS_MAXIMUM, limit_per_host=_CONNECTIONS_MAXIMUM // 2),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


async def exchange(
    session: aiohttp.ClientSession, method: str, url: str, *, headers: Mapping[str, str], **request: Any
) -> Exchange:
    """Send one request and read its answer; the span at work goes along and learns the status.

    Raises ProviderRefused if no connection could be made, ProviderSilent if it broke afterwards.
    """
    carried = dict(headers)
    correlation.inject(carried)
    try:
        async with session.request(
            method, url, allow_redirects=False, headers=carried, **request
        ) as response:
            content = b""
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > _ANSWER_MAXIMUM_BYTES:
                    break
            current_span().end_with(status_code=response.status)
    except aiohttp.ClientConnectorError as problem:
        raise ProviderRefused("provider cannot be connected to; nothing was sent") from problem
    except (aiohttp.ClientError, OSError) as problem:
        raise ProviderSilent(f"connection to the provider broke: {type(problem).__name__}") from problem
    if len(content) > _ANSWER_MAXIMUM_BYTES:
        raise ProviderSilent("provider's answer is too large to be one")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = {}
    return Exchange(response.status, body if isinstance(body, dict) else {})


def raise_for_refusal(answer: Exchange) -> None:
    """Raise what a status other than success means; returns for a success.

    Only statuses that the provider's contract promises to be without effect count as refused.
    """
    if 200 <= answer.status < 300:
        return
    match answer.status:
        case 503 | 429:
            raise ProviderRefused(f"provider refused for now: {answer.status}")
        case 400 | 401 | 403:
            raise ProviderRefused(f"provider does not accept our request: {answer.status}", again=False)
        case _:
            # 409 says that our key was used for something else, 5xx says nothing: both may hide an effect.
            raise ProviderSilent(f"provider answered {answer.status}, which does not say what happened")


def require_text(answer: Exchange, key: str) -> str:
    """Return a text of the answer; without it the answer cannot be trusted: ProviderSilent."""
    value = answer.body.get(key)
    if not isinstance(value, str) or not value or len(value) > 200:
        raise ProviderSilent(f"provider's answer lacks {key}")
    return value
