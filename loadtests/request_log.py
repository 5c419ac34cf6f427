"""The client's own record of when each request was due, sent and answered.

A request has two lines, so that one that is never answered is in the log too.
"""

from collections.abc import Callable
from itertools import count
from pathlib import Path

from loadtests.acknowledgement_log import AcknowledgementLog


class RequestLog:
    """An append-only file with one JSON object a line; times are Unix seconds."""

    def __init__(self, file: Path, now: Callable[[], float]) -> None:
        self._lines = AcknowledgementLog(file)
        self._numbers = count(1)
        self._now = now

    def begin(self, operation: str, due: float | None = None, *, skipped: int = 0) -> int:
        """Log a request that is sent now, and the checkouts given up before it; return its number.

        Without `due` it is due now.
        """
        number, sent = next(self._numbers), self._now()
        row = {"begun": number, "operation": operation, "due": sent if due is None else due, "sent": sent}
        self._lines.append({**row, "skipped": skipped})
        return number

    def end(self, number: int, outcome: str, status_codes: list[int]) -> None:
        """Log the last answer to a request, with the status codes of all answers; 0 for none."""
        row = {"ended": number, "answered": self._now(), "outcome": outcome, "status_codes": status_codes}
        self._lines.append(row)

    def close(self) -> None:
        """Sync the file to disk and close it."""
        self._lines.close()
