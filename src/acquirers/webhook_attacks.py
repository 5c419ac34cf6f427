"""Attack the merchant's webhooks in an acquirer's name: replayed, forged, and too many."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from acquirers.faults import FaultKind

# How many requests one attack sends. A flood is more than a merchant takes from strangers in a second.
REQUESTS: Final = {
    FaultKind.WEBHOOK_REPLAYED: 3,
    FaultKind.WEBHOOK_FORGED: 3,
    FaultKind.WEBHOOK_FLOOD: 200,
}
ATTACK_KINDS: Final = frozenset(REQUESTS)
# The webhooks themselves use others.
_CONNECTIONS_MAX: Final = 16
_JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class _Overheard:
    """A request that the merchant accepted."""

    headers: Mapping[str, str]
    body: bytes


class WebhookAttacker:
    """Sends what is no webhook of the acquirer; one attack at a time, and never one of its events."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._overheard: _Overheard | None = None
        self._attacking = False

    def overhear(self, headers: Mapping[str, str], body: bytes) -> None:
        """Remember the last request that the merchant accepted."""
        self._overheard = _Overheard(dict(headers), body)

    async def attack(self, session: aiohttp.ClientSession, kind: FaultKind) -> None:
        """Send the requests of one attack, unless one is under way or no request was overheard.

        Nothing is sent again, and no answer matters.
        """
        overheard = self._overheard
        if self._attacking or overheard is None:
            return
        self._attacking = True
        try:
            connections = asyncio.Semaphore(_CONNECTIONS_MAX)
            requests = (self._send(session, connections, kind, overheard) for _ in range(REQUESTS[kind]))
            await asyncio.gather(*requests)
        finally:
            self._attacking = False

    async def _send(
        self,
        session: aiohttp.ClientSession,
        connections: asyncio.Semaphore,
        kind: FaultKind,
        overheard: _Overheard,
    ) -> None:
        headers = dict(overheard.headers)
        if kind is FaultKind.WEBHOOK_FORGED:
            # The key's id and the time are no secret.
            headers |= {
                "X-Signature": f"v1={secrets.token_hex(32)}",
                "X-Signature-Nonce": secrets.token_urlsafe(24),
            }
        elif kind is FaultKind.WEBHOOK_FLOOD:
            headers = dict(_JSON)
        async with connections:
            try:
                async with session.post(
                    self._url, data=overheard.body, headers=headers, allow_redirects=False
                ):
                    pass
            except (aiohttp.ClientError, TimeoutError, OSError):
                return
