"""Send one bounded HTTP request to a provider, and say of a failure whether it may have had an effect."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from moneypath.telemetry import correlation
from moneypath.telemetry.tracing import current_span
from refpay.providers.errors import ProviderOutcomeUnknown, ProviderRefused
from refpay.settings import ProviderSettings

_ANSWER_MAXIMUM_BYTES: Final = 16 * 1024
_CONNECTIONS_MAXIMUM: Final = 256

# The header of a dialect that carries the API key, and the format of its value.
Credential = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ProviderResponse:
    """A status and the JSON object of the body, empty if there was none."""

    status: int
    body: Mapping[str, Any]


def credential_header(credential: Credential, settings: ProviderSettings) -> dict[str, str]:
    """Return the header that carries our API key."""
    name, form = credential
    return {name: form.format(settings.api_key)}


def open_session() -> aiohttp.ClientSession:
    """Return the connection pool to all providers. Time-outs are set by the decorator."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS_MAXIMUM, limit_per_host=_CONNECTIONS_MAXIMUM // 2),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        middlewares=(_never_resend,),
    )


async def _never_resend(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Tell the client that a broken connection is no reason to send a query again by itself.

    Otherwise it does so once, and a request reaches the provider that nobody counts.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as problem:
        raise _broken(problem) from problem


def _broken(problem: Exception) -> ProviderOutcomeUnknown:
    return ProviderOutcomeUnknown(f"connection to the provider broke: {type(problem).__name__}")


async def send_request(
    session: aiohttp.ClientSession, method: str, url: str, *, headers: Mapping[str, str], **request: Any
) -> ProviderResponse:
    """Send one request with the current trace context, and read the response. The span gets its status.

    Raises ProviderRefused if no connection could be made, ProviderOutcomeUnknown if it broke afterwards.
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
        raise _broken(problem) from problem
    if len(content) > _ANSWER_MAXIMUM_BYTES:
        raise ProviderOutcomeUnknown(f"provider's answer is larger than {_ANSWER_MAXIMUM_BYTES} bytes")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = {}
    return ProviderResponse(response.status, body if isinstance(body, dict) else {})


def raise_for_refusal(answer: ProviderResponse) -> None:
    """Raise the error of a status other than success; return for a success.

    A status counts as refused only if the provider's contract promises that it is without effect.
    """
    if 200 <= answer.status < 300:
        return
    match answer.status:
        case 503 | 429:
            raise ProviderRefused(f"provider refused for now: {answer.status}")
        case 400 | 401 | 403:
            raise ProviderRefused(f"provider does not accept our request: {answer.status}", may_resend=False)
        case _:
            # 409 says that our key was used for something else, 5xx says nothing: both may hide an effect.
            raise ProviderOutcomeUnknown(
                f"provider answered {answer.status}, which does not say what happened"
            )


def require_text(answer: ProviderResponse, key: str) -> str:
    """Return a text field of the response. Raises ProviderOutcomeUnknown if it is missing."""
    value = answer.body.get(key)
    if not isinstance(value, str) or not value or len(value) > 200:
        raise ProviderOutcomeUnknown(f"provider's answer lacks {key}")
    return value
