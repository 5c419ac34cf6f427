"""A canary: small authorizations through the public API that meet what a customer meets."""

import asyncio
import json
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from moneypath.bounded_http import AnswerTooLarge, read_bounded
from moneypath.drills.timeline_entry import NO_ANSWER
from moneypath.oracle.acknowledgement_log import write_line
from moneypath.oracle.records import Acknowledgement, Operation, Request
from moneypath.outcomes import Outcome, read_meaning
from moneypath.stack.tokens import TokenSource, TokenUnavailable, read_client_name

SCOPES: Final = ("payments:authorize", "traffic:canary")
TRAFFIC: Final = "canary"
UNAUTHORIZED: Final = 401
REQUEST_SECONDS: Final = 10.0
AMOUNT_MINOR: Final = 100
CURRENCY: Final = "EUR"
# So many at once that a fault which hits one customer in ten shows in a fraction of a second.
BATCH_SIZE: Final = 8
CREATED: Final = 201
ANSWER_BYTES_MAX: Final = 64 * 1024
_OUTCOMES_OF_CREATED: Final[Mapping[object, Outcome]] = {
    "authorized": Outcome.SUCCEEDED,
    "declined": Outcome.DECLINED,
    "failed": Outcome.FAILED,
}


@dataclass(frozen=True, slots=True)
class CanaryProbeResult:
    """The answer to one canary: its HTTP status, 0 for no answer, and when it came (monotonic clock).

    One that was not `sent`, for want of a token or of a connection, failed for a reason of its own. `good` is
    what the target's file says of the answer, where there is one.
    """

    status: int
    at_mono: float
    sent: bool = True
    good: bool | None = None

    @property
    def is_good(self) -> bool:
        """Whether it was answered as it is on a good day."""
        return 200 <= self.status < 300 if self.good is None else self.good

    def shows(self, effects: Collection[int]) -> bool:
        """Tell whether a fault with these effects harmed it.

        A success that the target's file does not call good answers nothing that was asked.
        """
        if not self.sent or self.good:
            return False
        hollow = self.good is False and 200 <= self.status < 300
        return self.status in effects or (hollow and NO_ANSWER in effects)


class Canary:
    """Sends authorizations of one card range, marked so that no objective counts them."""

    def __init__(self, url: str, client_file: Path, card_range: str, acknowledgement_log_file: Path) -> None:
        self._url, self._range = url, card_range
        self._log_file, self._merchant = acknowledgement_log_file, read_client_name(client_file)
        self._tokens = TokenSource(url, client_file, *SCOPES)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._log_file.touch(mode=0o600)
        self._session = aiohttp.ClientSession(
            base_url=self._url,
            headers={"X-Traffic": TRAFFIC},
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
        except (TokenUnavailable, aiohttp.ClientConnectorError):
            return CanaryProbeResult(NO_ANSWER, time.monotonic(), sent=False)
        except (aiohttp.ClientError, TimeoutError, AnswerTooLarge):
            status = NO_ANSWER
        return CanaryProbeResult(status, time.monotonic())

    async def _post(self, session: aiohttp.ClientSession, card_range: str, amount_minor: int) -> int:
        header = await self._tokens.header_async()
        body = _body(card_range, amount_minor)
        sent = Request(
            at=time.time(),
            operation=Operation.AUTHORIZE,
            idempotency_key=secrets.token_hex(16),
            merchant_reference=str(body["merchant_reference"]),
            merchant=self._merchant,
            amount_minor=amount_minor,
            currency=CURRENCY,
        )
        self._log(sent)
        status, content = NO_ANSWER, b""
        try:
            async with session.post(
                "/v1/payments",
                json=body,
                headers={"Authorization": header, "Idempotency-Key": sent.idempotency_key},
            ) as answer:
                content = await read_bounded(answer, ANSWER_BYTES_MAX)
                status = answer.status
        finally:
            self._log(_answer(sent, status, content))
        if status == UNAUTHORIZED:
            self._tokens.forget(header)
        return status

    def _log(self, row: Request | Acknowledgement) -> None:
        """Append a request, an answer, or that there was none, as every client of the service does."""
        with self._log_file.open("a", encoding="utf-8") as log:
            log.write(write_line(row))

    async def batch(self) -> tuple[CanaryProbeResult, ...]:
        """Send several at once and return all results."""
        return tuple(await asyncio.gather(*(self.send() for _ in range(BATCH_SIZE))))


def _body(card_range: str, amount_minor: int) -> Mapping[str, object]:
    return {
        "merchant_reference": f"canary-{secrets.token_hex(8)}",
        "amount_minor": amount_minor,
        "currency": CURRENCY,
        "card_token": f"tok_{card_range}_{secrets.token_hex(8)}",
    }


def _answer(sent: Request, status: int, content: bytes) -> Acknowledgement:
    return Acknowledgement(
        at=time.time(),
        operation=sent.operation,
        idempotency_key=sent.idempotency_key,
        merchant_reference=sent.merchant_reference,
        payment_id=None,
        amount_minor=sent.amount_minor,
        currency=sent.currency,
        status_code=status,
        outcome=_outcome(status, _parse(content)),
        replayed=False,
        merchant=sent.merchant,
    )


def _outcome(status: int, content: Mapping[str, object] | None) -> Outcome:
    """Return the outcome that an answer tells; a declined authorization is created too, and says so."""
    if status == CREATED:
        return _OUTCOMES_OF_CREATED.get((content or {}).get("status"), Outcome.UNKNOWN)
    return read_meaning(status, content).outcome


def _parse(content: bytes) -> Mapping[str, object] | None:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
