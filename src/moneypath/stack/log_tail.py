"""Read the end of a server's log for an error message."""

import re
from pathlib import Path

_READ_BYTES = 32_768
_LAST_LINES = 8
_ERROR_LINES = 6
# What is kept of a line: its time and sender, and its end, where a wrapped error names its cause.
_LINE_START = 200
_LINE_END = 500
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
    return tuple(_shortened(line) for line in errors[-_ERROR_LINES:] + lines[first_of_last:])


def _shortened(line: str) -> str:
    """Return a long line without its middle."""
    if len(line) <= _LINE_START + _LINE_END:
        return line
    return f"{line[:_LINE_START]} ... {line[-_LINE_END:]}"
