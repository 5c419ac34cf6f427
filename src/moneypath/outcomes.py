"""What an answer of the payment service means to the client that got it: the one table.

The load tests read answers by it, the oracle and the crash test hold the service to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """The outcome that the client was answered. Only the first three are stored under an idempotency key.

    `rejected` says that nothing happened under this key so far, `unprocessed` that this request was not
    looked at: an earlier one with the same key may have succeeded.
    """

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"
    REJECTED = "rejected"
    UNPROCESSED = "unprocessed"
    UNKNOWN = "unknown"


DEFINITIVE: Final = frozenset((Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.FAILED))


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an answer with a status and a problem code means, and whether its request is sent again.

    `statuses` is a range with its end left out. No `codes` stand for any code, and for none.
    """

    statuses: range
    codes: frozenset[str]
    outcome: Outcome
    again: bool = False

    def covers(self, status_code: int, code: object) -> bool:
        """Tell whether an answer is meant."""
        return status_code in self.statuses and (not self.codes or code in self.codes)


def _meaning(first: int, last: int, outcome: Outcome, *codes: str, again: bool = False) -> Meaning:
    return Meaning(range(first, last + 1), frozenset(codes), outcome, again)


# The first line that covers an answer says what it means. A success is read from the payment in its body.
MEANINGS: Final[tuple[Meaning, ...]] = (
    _meaning(202, 202, Outcome.INDETERMINATE, again=True),
    # The provider's own "no", stored under the key.
    _meaning(402, 402, Outcome.DECLINED, "provider_declined"),
    _meaning(502, 502, Outcome.FAILED, "provider_failed"),
    # About another request, or an earlier one with this key: it may have succeeded.
    _meaning(400, 499, Outcome.UNKNOWN, "idempotency_in_flight", "operation_in_flight", again=True),
    _meaning(400, 499, Outcome.UNKNOWN, "idempotency_key_reused", "idempotency_key_expired"),
    _meaning(400, 499, Outcome.UNKNOWN, "merchant_reference_in_use"),
    _meaning(403, 403, Outcome.REJECTED, "risk_blocked"),
    # Turned away before the key was looked at.
    _meaning(401, 401, Outcome.UNPROCESSED),
    _meaning(403, 403, Outcome.UNPROCESSED),
    _meaning(429, 429, Outcome.UNPROCESSED, again=True),
    _meaning(400, 499, Outcome.REJECTED),
)
_UNKNOWN: Final = _meaning(0, 0, Outcome.UNKNOWN, again=True)


def read_meaning(status_code: int, content: Mapping[str, object] | None) -> Meaning:
    """Return what an answer that is no success means; `content` is None for a body that is not JSON.

    An error page, a server error, a redirect and no answer at all are unknown, never a no.
    """
    code = None if content is None else content.get("code")
    if status_code != 202 and not isinstance(code, str):
        return _UNKNOWN
    return next((one for one in MEANINGS if one.covers(status_code, code)), _UNKNOWN)
