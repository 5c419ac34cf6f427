"""A canary: small authorizations through the public API that meet what a customer meets."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from moneypath.polling import poll_until
from moneypath.stack.tokens import TokenSource, TokenUnavailable

SCOPES: Final = ("payments:authorize", "traffic:canary")
UNAUTHORIZED: Final = 401
REQUEST_SECONDS: Final = 10.0
AMOUNT_MINOR: Final = 100
CURRENCY: Final = "EUR"
# So many at once that a fault which hits one customer in ten shows in a fraction of a second.
BATCH_SIZE: Final = 8
BAD_STATUSES: Final = frozenset({202, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class CanaryProbeResult:
    """The answer to one canary: its HTTP status, 0 for no answer, and when it came (monotonic clock)."""

    status: int
    at_mono: float

    @property
    def bad(self) -> bool:
        """Whether the payment of a customer would have failed or stayed without an answer."""
        return self.status == 0 or self.status in BAD_STATUSES


class Canary:
    """Sends authorizations of one card range, marked so that no objective counts them."""

    def __init__(self, url: str, client_file: Path, card_range: str) -> None:
        self._url, self._range = url, card_range
        self._tokens = TokenSource(url, client_file, *SCOPES)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            base_url=self._url,
            headers={"X-Traffic": "canary"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self, *, card_range: str | None = None, amount_minor: int = AMOUNT_MINOR
    ) -> CanaryProbeResult:
        """Authorize once, with the canary's own card range unless told otherwise, and return the result.

        A failing service does not raise.
        """
        if self._session is None:
            raise RuntimeError("Canary is used outside its `async with` block")
        try:
            status = await self._post(self._session, card_range or self._range, amount_minor)
            if status == UNAUTHORIZED:
                status = await self._post(self._session, card_range or self._range, amount_minor)
        except (aiohttp.ClientError, TimeoutError, TokenUnavailable):
            status = 0
        return CanaryProbeResult(status, time.monotonic())

    async def _post(self, session: aiohttp.ClientSession, card_range: str, amount_minor: int) -> int:
        header = await self._tokens.header_async()
        headers = {"Authorization": header, "Idempotency-Key": secrets.token_hex(16)}
        async with session.post(
            "/v1/payments", json=_body(card_range, amount_minor), headers=headers
        ) as answer:
            await answer.read()
        if answer.status == UNAUTHORIZED:
            self._tokens.forget(header)
        return answer.status

    async def until_bad(self, *, within_seconds: float, every_seconds: float) -> CanaryProbeResult | None:
        """Send batches until a canary is harmed; return None when none is within the time."""

        async def worst_of_batch() -> CanaryProbeResult | None:
            batch = await asyncio.gather(*(self.send() for _ in range(BATCH_SIZE)))
            return min((each for each in batch if each.bad), key=lambda each: each.at_mono, default=None)

        return await poll_until(
            worst_of_batch,
            lambda harmed: harmed is not None,
            every_seconds=every_seconds,
            within_seconds=within_seconds,
        )


def _body(card_range: str, amount_minor: int) -> Mapping[str, object]:
    return {
        "merchant_reference": f"canary-{secrets.token_hex(8)}",
        "amount_minor": amount_minor,
        "currency": CURRENCY,
        "card_token": f"tok_{card_range}_{secrets.token_hex(8)}",
    }
