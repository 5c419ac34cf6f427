"""Configures structlog and the standard library's logging to write the same lines to one stream."""

import logging
from typing import Final, TextIO

import structlog

from moneypath.telemetry.logs.lines import ContextStamper, LineWriter, redact_event, render_line
from moneypath.telemetry.logs.standard import take_over

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(service: str, stream: TextIO, *, level: str = "info", standard_library: bool = True) -> None:
    """Write events of `level` (debug, info, warning, error) and above to `stream` as JSON lines.

    With `standard_library`, events logged through `logging` come out as the same lines: the root logger
    gets this level and a handler, and handlers that write to the console are removed from every logger,
    including uvicorn's. Other handlers (files, exporters) stay.
    """
    stamper, lines = ContextStamper(service), LineWriter(stream)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            stamper,
            redact_event,
            render_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: lines,
        # A cached logger would keep writing to the stream of an earlier configuration.
        cache_logger_on_first_use=False,
    )
    if standard_library:
        take_over(stamper, lines, LEVELS[level])
