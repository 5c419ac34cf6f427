"""The canary of a target: the request of its file, several at once, judged by what the file calls good."""

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import Final

from moneypath.drills.canary import CanaryProbeResult
from moneypath.drills.timeline_entry import NO_ANSWER
from moneypath.errors import MoneypathError
from moneypath.secret_files import SecretFileUnusable
from moneypath.stack.tokens import TokenUnavailable
from moneypath.target.errors import CallUnanswered
from moneypath.target.exchange import Exchange

# So many at once that a fault which hits one customer in ten shows in a fraction of a second.
BATCH_SIZE: Final = 8
UNAUTHORIZED: Final = 401


@dataclass(frozen=True, slots=True)
class TargetCanary:
    """Sends the canary of a target; one without a canary has none to send."""

    exchange: Exchange

    async def batch(self) -> tuple[CanaryProbeResult, ...]:
        """Send several at once and return all results."""
        return tuple(await asyncio.gather(*(self._send() for _ in range(BATCH_SIZE))))

    async def _send(self) -> CanaryProbeResult:
        """Send once; a failing service does not raise."""
        canary = self.exchange.target.document.canary
        if canary is None:
            return CanaryProbeResult(NO_ANSWER, time.monotonic(), sent=False)
        try:
            answer = await self.exchange.send(canary.call, {"unique": secrets.token_hex(8)})
        except CallUnanswered:
            return CanaryProbeResult(NO_ANSWER, time.monotonic(), good=False)
        except (TokenUnavailable, SecretFileUnusable, MoneypathError):
            return CanaryProbeResult(NO_ANSWER, time.monotonic(), sent=False)
        if answer.status == UNAUTHORIZED:
            self.exchange.access.forget_tokens()
        good = not self.exchange.problem_with(canary.call, answer)
        # A command has an exit code: one that is not good is no answer.
        status = answer.status if canary.call.command is None else (200 if good else NO_ANSWER)
        return CanaryProbeResult(status, time.monotonic(), good=good)
