"""Ask the monitoring endpoint of NATS."""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

import aiohttp

_ANSWER_SECONDS: Final = 2.0
_ANSWER_MAXIMUM_BYTES: Final = 64 * 1024


async def read_monitoring(url: str, *, statuses: Collection[int] = (200,)) -> Mapping[str, Any]:
    """Return the JSON object that a page of the endpoint holds.

    Raises OSError or TimeoutError if it does not answer as NATS does, with one of `statuses`.
    """
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            found = json.loads(await answer.content.read(_ANSWER_MAXIMUM_BYTES))
    except (aiohttp.ClientError, ValueError) as problem:
        raise OSError(f"NATS monitoring does not answer: {type(problem).__name__}") from problem
    if answer.status not in statuses or not isinstance(found, dict):
        raise OSError(f"NATS monitoring does not answer: status {answer.status}")
    return found
