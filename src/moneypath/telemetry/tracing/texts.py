"""Renders ids, headers and errors as text."""

from typing import Final

ERROR_TEXT_LIMIT: Final = 32768


def hexadecimal(bits: int) -> str:
    """Return a span id as text. Of a number with more than 64 bits the trace id's bits are ignored."""
    return f"{bits >> 128 if bits >> 64 else bits:016x}"


def as_text(header: str | bytes | None) -> str | None:
    """Return a header as text."""
    return header.decode("latin-1") if isinstance(header, bytes) else header


def text_of(error: BaseException) -> str:
    """Return the text of an error, bounded."""
    try:
        return str(error)[:ERROR_TEXT_LIMIT]
    except Exception:  # noqa: BLE001 - an error that cannot be shown must not hide behind another one
        return ""
