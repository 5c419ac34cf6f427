"""Masks card numbers, account numbers and credentials in everything that leaves a process."""

from moneypath.telemetry.redaction.id_forms import IdForms
from moneypath.telemetry.redaction.issuers import is_card_number
from moneypath.telemetry.redaction.masking import ACCOUNT_MASK, CARD_MASK, SECRET_MASK
from moneypath.telemetry.redaction.redact import holds_card, redact, redact_bytes
from moneypath.telemetry.redaction.secrets import is_secret_name
from moneypath.telemetry.redaction.values import mask_split_cards, redact_values

__all__ = [
    "ACCOUNT_MASK",
    "CARD_MASK",
    "SECRET_MASK",
    "IdForms",
    "holds_card",
    "is_card_number",
    "is_secret_name",
    "mask_split_cards",
    "redact",
    "redact_bytes",
    "redact_values",
]
