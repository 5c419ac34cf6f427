"""Keeping card numbers and credentials out of everything that leaves a process."""

from moneypath.telemetry.redaction.redact import (
    CARD_MASK,
    SECRET_MASK,
    is_card_number,
    is_secret_name,
    redact,
)

__all__ = ["CARD_MASK", "SECRET_MASK", "is_card_number", "is_secret_name", "redact"]
