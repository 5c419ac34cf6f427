"""Read the client's log of requests while it grows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from moneypath.capacity.client import ClientRequest
from moneypath.errors import MoneypathError

LINES_MAX: Final = 5_000_000


class RequestLogInvalid(MoneypathError):
    """The client's log of requests is not one."""

    code = "request_log_invalid"


class ClientLog:
    """The requests in the order in which they began; each `read` goes on where the last one ended."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = self._lines = 0
        self._requests: dict[int, ClientRequest] = {}

    def read(self) -> tuple[ClientRequest, ...]:
        """Return all requests so far; raises RequestLogInvalid. An unfinished last line is read next time."""
        try:
            with self._file.open("rb") as stream:
                stream.seek(self._offset)
                content = stream.read()
        except OSError as error:
            raise RequestLogInvalid(f"{self._file}: cannot be read: {error.strerror}") from error
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._lines += 1
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise RequestLogInvalid(
                    f"{self._file}:{self._lines}: no line of a log of requests ({type(error).__name__})"
                ) from None
        return tuple(self._requests.values())

    def _take(self, row: dict[str, Any]) -> None:
        if self._lines > LINES_MAX:
            raise ValueError(f"more than {LINES_MAX} lines")
        if "begun" in row:
            self._requests[int(row["begun"])] = ClientRequest(
                operation=str(row["operation"]),
                due=float(row["due"]),
                sent=float(row["sent"]),
                skipped=int(row["skipped"]),
            )
            return
        number = int(row["ended"])
        self._requests[number] = replace(
            self._requests[number],
            answered=float(row["answered"]),
            outcome=str(row["outcome"]),
            status_codes=tuple(int(code) for code in row["status_codes"]),
        )
