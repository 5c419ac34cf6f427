"""Renders an event as one bounded, redacted JSON line with the ids of request, payment and span."""

import json
import math
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, TextIO

from moneypath.telemetry import correlation
from moneypath.telemetry.redaction import SECRET_MASK, is_secret_name, mask_split_cards, redact

LINE_LIMIT = 8192
VALUE_LIMIT = 2048
EXCEPTION_LIMIT = 4096
ITEMS_LIMIT = 50
DEPTH_LIMIT = 4
# Redaction examines this many characters. The result is cut further, so that no part of a number survives
# at the cut.
RAW_LIMIT = 32768
# There are few field names, and they repeat in every event.
REMEMBERED_LENGTH = 64

HEAD = ("ts", "level", "event", "service", "correlation_id")
# These follow the head if they are known.
IDS = ("payment_id", "trace_id", "span_id")

Event = MutableMapping[str, Any]


class ContextStamper:
    """Adds the service and the ids of request, payment and span to an event.

    Overwrites fields of that name.
    """

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        event["service"] = self._service
        context = correlation.active()
        event["correlation_id"] = None if context is None else context.correlation_id
        if context is not None:
            if context.payment_id is not None:
                event["payment_id"] = context.payment_id
            if context.trace is not None:
                event["trace_id"] = context.trace.trace_id
                event["span_id"] = context.trace.span_id
        return event


def redact_event(_logger: object, _method: str, event: Event) -> Event:
    """Redact every name and value of an event, including exception text, and limit their sizes."""
    cleaned: Event = {}
    for name, value in event.items():
        if name in ("exception", "stack"):
            # The end of a traceback tells what happened.
            cleaned[name] = redact(str(value)[-RAW_LIMIT:])[-EXCEPTION_LIMIT:]
        else:
            cleaned[_name(name)] = _field(str(name), value, DEPTH_LIMIT)
    mask_split_cards(cleaned)
    return cleaned


def render_line(_logger: object, _method: str, event: Event) -> str:
    """Render an event as one line of at most LINE_LIMIT bytes.

    A longer event loses its extra fields first.
    """
    ids = [name for name in IDS if name in event]
    ordered = {name: event.get(name) for name in (*HEAD, *ids)} | dict(event)
    line = json.dumps(ordered, allow_nan=False)
    for size in (2048, 512, 128):
        if len(line) <= LINE_LIMIT:
            break
        head = {name: _cut(event.get(name), size) for name in (*HEAD, *ids)}
        if "exception" in event:
            head["exception"] = str(event["exception"])[-size:]
        line = json.dumps({**head, "truncated": True}, allow_nan=False)
    return line


def _cut(value: object, size: int) -> object:
    return value[:size] if isinstance(value, str) else value


def _name(name: object) -> str:
    return _known_name(name) if type(name) is str and len(name) <= REMEMBERED_LENGTH else _text(name)


@lru_cache(maxsize=2048)
def _known_name(name: str) -> str:
    return _text(name)


def _field(name: str, value: object, depth: int) -> object:
    if value is not None and is_secret_name(name):
        return SECRET_MASK
    return _clean(value, depth)


def _clean(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if value.bit_length() > 64:
            return _text(hex(value))
        text = str(int(value))
        return int(value) if redact(text) == text else redact(text)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if depth > 0 and isinstance(value, Mapping):
        items = list(value.items())[:ITEMS_LIMIT]
        return {_name(key): _field(_name(key), item, depth - 1) for key, item in items}
    if depth > 0 and isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, depth - 1) for item in list(value)[:ITEMS_LIMIT]]
    return _text(value)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        text = value[:RAW_LIMIT].decode(errors="backslashreplace")
    elif isinstance(value, str):
        text = str(value)
    else:
        try:
            text = repr(value)
        except Exception as error:  # noqa: BLE001 - a value that cannot be shown must not stop the payment
            text = f"<{type(value).__name__} without repr: {type(error).__name__}>"
    return redact(text[:RAW_LIMIT])[:VALUE_LIMIT]


class LineWriter:
    """Writes lines to a stream. A stream that is closed or broken does not stop the service."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except (OSError, ValueError):
            # ValueError: the stream is closed. There is nowhere to report it.
            return

    debug = info = warning = warn = error = exception = critical = fatal = log = msg
