"""Ask a simulated provider which settlement reports it has served, and when."""

from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from moneypath.errors import MoneypathError

_ANSWER_SECONDS: Final = 10.0


class ServedReportsUnreadable(MoneypathError):
    """A provider did not say which reports it has served."""

    code = "served_reports_unreadable"


@dataclass(frozen=True, slots=True)
class ServedReport:
    """One request for a report that was answered; `at` is in Unix seconds of the provider's clock."""

    sequence: int
    at: float


async def read_served_reports(url: str, token: str) -> tuple[ServedReport, ...]:
    """Return what the provider at `url` has served lately, oldest first; raises ServedReportsUnreadable."""
    endpoint = f"{url.rstrip('/')}/truth/reports"
    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.get(endpoint, raise_for_status=True) as answer,
        ):
            content: Any = await answer.json()
        return tuple(ServedReport(int(one["sequence"]), float(one["at"])) for one in content["served"])
    except (aiohttp.ClientError, TimeoutError, ValueError, TypeError, KeyError) as error:
        raise ServedReportsUnreadable(
            f"{endpoint}: no list of served reports: {type(error).__name__}",
            hint="Check that the acquirer runs and answers, then run the drill again.",
        ) from None
