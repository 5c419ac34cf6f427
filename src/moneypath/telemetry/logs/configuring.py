"""Sending what structlog and the standard library log to one stream, as the same lines."""

import logging
from typing import Final, TextIO

import structlog

from moneypath.telemetry.logs.lines import Lines, Stamp, redact_event, render_line
from moneypath.telemetry.logs.standard import take_over

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(service: str, stream: TextIO, *, level: str = "info", standard_library: bool = True) -> None:
    """Send events as JSON lines to `stream`, from `level` (debug, info, warning, error) on.

    With `standard_library`, what libraries and a team's own code log through `logging` comes out as the same
    lines: the root logger gets this level and a handler, and handlers that write to the console are
    removed from every logger, uvicorn's own among them. Other handlers (files, exporters) stay.
    """
    stamp, lines = Stamp(service), Lines(stream)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            stamp,
            redact_event,
            render_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: lines,
        # A cached logger would go on writing to the stream of an earlier configuration.
        cache_logger_on_first_use=False,
    )
    if standard_library:
        take_over(stamp, lines, LEVELS[level])
