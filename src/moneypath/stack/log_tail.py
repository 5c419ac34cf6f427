"""The end of a server's log, short enough for an error and with what went wrong in it."""

import re
from pathlib import Path

_READ_BYTES = 32_768
_LAST_LINES = 8
_ERROR_LINES = 6
_LONGEST_LINE = 500
# As our servers write it: Go's loggers, PostgreSQL, Python.
_ERROR = re.compile(
    r"level=(error|ERROR)|\b(ERROR|FATAL|PANIC|panic|fatal error)\b:?|^\w*(Error|Exception)\b"
)


def read_tail(log: Path) -> tuple[str, ...]:
    """Return the last lines, and before them the last errors: some servers log much after their reason.

    Empty when nothing was logged.
    """
    try:
        with log.open("rb") as reader:
            reader.seek(max(0, reader.seek(0, 2) - _READ_BYTES))
            lines = reader.read().decode(errors="replace").splitlines()
    except OSError:
        return ()
    first_of_last = max(0, len(lines) - _LAST_LINES)
    errors = [line for line in lines[:first_of_last] if _ERROR.search(line)]
    return tuple(line[:_LONGEST_LINE] for line in errors[-_ERROR_LINES:] + lines[first_of_last:])
