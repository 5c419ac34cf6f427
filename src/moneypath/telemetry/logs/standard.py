"""Writes records of the standard library's logging as the same redacted lines."""

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from moneypath.telemetry.logs.lines import ContextStamper, Event, LineWriter, redact_event, render_line

# The attributes of every record; any others were passed as `extra`.
_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# An exception chain may be very long; its last frames tell what happened.
_FRAMES_LIMIT: Final = 50


class LineHandler(logging.Handler):
    """Writes records of the standard library as lines. An error while writing is not logged again."""

    def __init__(self, stamper: ContextStamper, lines: LineWriter) -> None:
        super().__init__()
        self._stamper = stamper
        self._lines = lines
        self._writing = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record.

        A record that is logged while another is being written (by a `repr`, say) is skipped.
        """
        if getattr(self._writing, "is_busy", False):
            return
        self._writing.is_busy = True
        try:
            event = self._stamper(None, record.levelname, _describe(record))
            self._lines.msg(render_line(None, record.levelname, redact_event(None, record.levelname, event)))
        except Exception:  # noqa: BLE001 - logging's own way is a trace-back on stderr, unredacted
            self._lines.msg(
                render_line(None, "error", self._stamper(None, "error", {"event": "log_line_lost"}))
            )
        finally:
            self._writing.is_busy = False


def _describe(record: logging.LogRecord) -> Event:
    event: dict[str, Any] = structlog.contextvars.get_contextvars()
    event.update((name, value) for name, value in vars(record).items() if name not in _USUAL)
    event["ts"] = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
    event["level"] = record.levelname.lower()
    try:
        event["event"] = record.getMessage()
    except Exception:  # noqa: BLE001 - the arguments do not fit the text; the text alone still says something
        event["event"] = str(record.msg)
    event["logger"] = record.name
    if record.exc_info and record.exc_info[0] is not None:
        text = "".join(traceback.format_exception(*record.exc_info, limit=-_FRAMES_LIMIT))
        event["exception"] = text.rstrip("\n")
    if record.stack_info:
        event["stack"] = record.stack_info
    return event


def take_over(stamper: ContextStamper, lines: LineWriter, level: int) -> None:
    """Make the root logger write lines, and remove handlers that write to the console from all loggers."""
    for logger in _loggers():
        for handler in logger.handlers[:]:
            if isinstance(handler, LineHandler) or _is_console(handler):
                logger.removeHandler(handler)
                # The logger did not propagate because it had a handler of its own.
                logger.propagate = True
    root = logging.getLogger()
    root.addHandler(LineHandler(stamper, lines))
    root.setLevel(level)


def _loggers() -> Iterator[logging.Logger]:
    yield logging.getLogger()
    for logger in list(logging.Logger.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield logger


def _is_console(handler: logging.Handler) -> bool:
    consoles = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return isinstance(handler, logging.StreamHandler) and any(
        handler.stream is console for console in consoles
    )
