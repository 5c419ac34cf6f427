"""Ask a provider how many requests it has received."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from moneypath.bounded_http import AnswerTooLarge, read_bounded
from moneypath.oracle.errors import FieldInvalid, ProviderBookUnreadable
from moneypath.oracle.fields import parse_object, read_instant, read_integer

_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class ReceivedRequests:
    """The requests of each operation since the provider's process began, at `since` (Unix seconds)."""

    since: float
    counts: Mapping[str, int]

    def after(self, earlier: "ReceivedRequests") -> Mapping[str, int] | None:
        """Return what came in after an earlier reading; None when the process was started anew since."""
        if self.since != earlier.since:
            return None
        return {name: count - earlier.counts.get(name, 0) for name, count in self.counts.items()}


async def read_received_requests(url: str, token: str, *, timeout_seconds: float = 10.0) -> ReceivedRequests:
    """Return what the provider at `url` has received, repetitions and refused requests included.

    Raises ProviderBookUnreadable, which never contains the token.
    """
    endpoint = f"{url.rstrip('/')}/truth/requests"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            aiohttp.ClientSession(headers=headers) as session,
            session.get(endpoint, allow_redirects=False) as answer,
        ):
            return _read(answer.status, await read_bounded(answer, _BYTES_MAX))
    except (aiohttp.ClientError, TimeoutError, AnswerTooLarge, FieldInvalid) as error:
        what = error if isinstance(error, FieldInvalid) else type(error).__name__
        raise ProviderBookUnreadable(
            f"{endpoint}: no count of received requests: {what}",
            hint="Check that the provider runs at this address and counts what it receives.",
        ) from None


def _read(status: int, body: bytes) -> ReceivedRequests:
    if status != 200:
        raise FieldInvalid(f"answered {status}, needed: 200")
    row = parse_object(body)
    received = row.get("received")
    if not isinstance(received, dict):
        raise FieldInvalid("received: must be an object")
    counts = {name: read_integer(received, name) for name in received}
    return ReceivedRequests(read_instant(row, "since"), counts)
