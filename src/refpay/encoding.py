"""JSON as the service writes it: without blanks, ids as text, instants in ISO 8601."""

import json
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Final
from uuid import UUID


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"has no JSON: {type(value).__name__}")


# Made once: `json.dumps` makes a new encoder for every call with options.
encode_text: Final = json.JSONEncoder(separators=(",", ":"), default=_plain).encode


def encode(content: object) -> bytes:
    """Return content as JSON bytes. A dataclass becomes an object of its fields."""
    return encode_text(content).encode()
