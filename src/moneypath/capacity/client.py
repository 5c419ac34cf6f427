"""What the clients of a build felt: latency from when a request was due, hangs, refusals, approvals."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

AUTHORIZE: Final = "authorize"
SUCCEEDED: Final = "succeeded"
DECLINED: Final = "declined"


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """One request of the client with all its repetitions; times are Unix seconds.

    `answered` is absent as long as there is no last answer. `skipped` counts the requests before it that were
    due and given up, because every user was waiting for an answer.
    """

    operation: str
    due: float
    sent: float
    skipped: int = 0
    answered: float | None = None
    outcome: str = ""
    status_codes: tuple[int, ...] = ()

    @property
    def refused(self) -> bool:
        """Return whether any answer was a refusal (4xx) that is no decline of the card."""
        return self.outcome != DECLINED and any(400 <= code < 500 for code in self.status_codes)

    @property
    def failed(self) -> bool:
        """Return whether the last answer was neither a success nor a decline nor a refusal."""
        return self.answered is not None and not self.refused and self.outcome not in (SUCCEEDED, DECLINED)


class ClientFigures:
    """What was felt of the requests that were due in the window; one without an answer counts its age.

    `refused` and `failed` are numbers of requests, `unanswered` those without a last answer. `authorizations`
    are those with a decision, and how many of them were approved.
    """

    def __init__(self, requests: Iterable[ClientRequest], *, start: float, until: float, now: float) -> None:
        self.requests: Sequence[ClientRequest] = [each for each in requests if start < each.due <= until]
        self._now = now
        self.refused = sum(each.refused for each in self.requests)
        self.failed = sum(each.failed for each in self.requests)
        self.unanswered = sum(each.answered is None for each in self.requests)
        decided = [
            each.outcome
            for each in self.requests
            if each.operation == AUTHORIZE and each.outcome in (SUCCEEDED, DECLINED)
        ]
        self.authorizations = (len(decided), decided.count(SUCCEEDED))
        self._skipped = sum(each.skipped for each in self.requests)

    @cached_property
    def from_due(self) -> Sequence[float]:
        """Return the latencies from when each request was due, ascending."""
        return sorted(self._end(each) - each.due for each in self.requests)

    @cached_property
    def from_sent(self) -> Sequence[float]:
        """Return the latencies from when each request was sent, ascending; never above those from due."""
        return sorted(self._end(each) - each.sent for each in self.requests)

    @cached_property
    def lateness(self) -> Sequence[float]:
        """Return by how much each request was sent after it was due, ascending."""
        return sorted(each.sent - each.due for each in self.requests)

    def late_share(self, seconds: float) -> float | None:
        """Return the share of requests that the schedule sent later than `seconds`, or gave up."""
        count = len(self.requests) + self._skipped
        return (over(self.lateness, seconds) + self._skipped) / count if count else None

    def _end(self, request: ClientRequest) -> float:
        return self._now if request.answered is None else request.answered


def quantile(ascending: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed; raises for no values."""
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def over(ascending: Sequence[float], limit: float) -> int:
    """Return how many values exceed the limit."""
    return len(ascending) - bisect_right(ascending, limit)
