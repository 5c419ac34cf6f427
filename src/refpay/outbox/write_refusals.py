"""Name why NATS does not take messages, by what it says of its health and how publications fail."""

from collections.abc import Mapping
from typing import Final

from nats.js.errors import APIError

from moneypath.telemetry.catalogue.vocabulary import WriteRefusal
from moneypath.telemetry.integrations.nats_health import HEALTH_PAGE, HEALTH_STATUSES, find_refusals
from refpay.outbox.nats_monitoring import read_monitoring

# Stream full (it discards what is new), storage of the server or of the account used up.
_LIMITS: Final = frozenset({10077, 10047, 10023})
_NOT_ENABLED: Final = frozenset({10076, 10039})


async def read_refusals(monitoring_url: str) -> Mapping[WriteRefusal, str]:
    """Return why the server takes no messages, each cause with the server's own words.

    Raises OSError or TimeoutError if the endpoint does not answer as NATS does.
    """
    return find_refusals(await read_monitoring(f"{monitoring_url}{HEALTH_PAGE}", statuses=HEALTH_STATUSES))


def name_failure(problem: Exception | None) -> WriteRefusal | None:
    """Return why a publication was not taken; None if it says nothing about the broker."""
    if isinstance(problem, APIError):
        if problem.err_code in _LIMITS:
            return WriteRefusal.LIMIT_REACHED
        return WriteRefusal.DISABLED if problem.err_code in _NOT_ENABLED else None
    return WriteRefusal.UNANSWERED if isinstance(problem, TimeoutError) else None
