"""Read the end of a server's log for an error message."""

import re
from pathlib import Path

_READ_BYTES = 32_768
_LAST_LINES = 8
_ERROR_LINES = 6
_LONGEST_LINE = 500
# Error lines of our servers: Go's loggers, PostgreSQL, Python.
_ERROR = re.compile(
    r"level=(error|ERROR)|\b(ERROR|FATAL|PANIC|panic|fatal error)\b:?|^\w*(Error|Exception)\b"
)


def read_tail(log: Path) -> tuple[str, ...]:
    """Return the last lines, after the last errors before them: some servers log much after the cause.

    Empty if nothing was logged.
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
