"""`redact`: the one function through which every text leaves the library.

When in doubt it masks: a lost word costs a minute, a leaked card number is a breach. It must leave order
ids, timestamps, UUIDs and hashes alone, because logs are useless without them.
"""

import re

from moneypath.telemetry.redaction.accounts import find_ibans, find_tracks
from moneypath.telemetry.redaction.cards import find_cards
from moneypath.telemetry.redaction.encoded import Decoded, may_be_encoded
from moneypath.telemetry.redaction.fields import find_split_cards
from moneypath.telemetry.redaction.issuers import SHORTEST_CARD
from moneypath.telemetry.redaction.masking import CARD_MASK, Finder, masked
from moneypath.telemetry.redaction.secrets import (
    find_bearers,
    find_keys,
    find_named,
    find_shapes,
    find_userinfo,
)

# Masking a card number may expose a new end of the digits next to it, so several passes are needed. Each is
# linear.
_PASSES = 4

_DIGITS = re.compile(r"[0-9]+")
_UUIDS = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])")
# UUIDs and times, which every log line has and which can hold nothing sensitive.
_HARMLESS = re.compile(
    r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"|(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9](?::[0-6][0-9]){2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
# The check digits; all other characters may be letters.
_FEWEST_IBAN_DIGITS = 2
# Larger matches first: otherwise a card number within a track or an IBAN would be masked alone, and a
# spaced card number after `password=` would lose only its first group.
_NUMBERS: tuple[Finder, ...] = (find_tracks, find_ibans, find_cards, find_split_cards)
_SECRETS: tuple[Finder, ...] = (find_keys, find_named, find_bearers, find_shapes, find_userinfo)


def redact(text: str) -> str:
    """Mask card numbers, account numbers and credentials, also encoded ones, and leave the rest unchanged.

    Redacting twice gives the same result. The time is linear in the length of the text.
    """
    # One character of another script may stand for two digits.
    if len(text) < SHORTEST_CARD and text.isascii() and text.isalnum():
        return text
    if len(text) <= 36 and _HARMLESS.fullmatch(text):
        return text
    for _ in range(_PASSES):
        cards = text.count(CARD_MASK)
        text = _plainly(text)
        if may_be_encoded(text):
            text = _decoded(text)
        if text.count(CARD_MASK) == cards:
            break
    return text


def holds_card(text: str) -> bool:
    """Return whether a text holds a card number, in whatever writing `redact` would mask it."""
    if text.isascii() and (len(text) < SHORTEST_CARD or _HARMLESS.fullmatch(text)):
        return False
    return _holds_card(text) or (may_be_encoded(text) and _holds_card(Decoded(text).plain))


def _holds_card(text: str) -> bool:
    if _count_digits(text) < SHORTEST_CARD:
        return False
    cards = text.count(CARD_MASK)
    for find in _NUMBERS:
        text = masked(text, find(text))
    return text.count(CARD_MASK) > cards


def redact_bytes(content: bytes) -> bytes:
    """Redact UTF-8 content. Bytes that are not UTF-8 stay as they are."""
    return redact(content.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _plainly(text: str) -> str:
    for find in _finders(text):
        text = masked(text, find(text))
    return text


def _decoded(text: str) -> str:
    decoded = Decoded(text)
    if decoded.plain == text:
        return text
    for find in _finders(decoded.plain):
        cleaned = masked(text, decoded.spans(find(decoded.plain)))
        if cleaned is not text:
            text, decoded = cleaned, Decoded(cleaned)
    return text


def _finders(text: str) -> tuple[Finder, ...]:
    """Return the finders that can find anything: a text with few digits holds no number."""
    digits = _count_digits(text)
    if digits >= SHORTEST_CARD:
        return (*_NUMBERS, *_SECRETS)
    return (find_ibans, *_SECRETS) if digits >= _FEWEST_IBAN_DIGITS else _SECRETS


def _count_digits(text: str) -> int:
    """Return how many digits stand outside of UUIDs, which hold no number."""
    if "-" in text:
        text = _UUIDS.sub("-", text)
    return sum(map(len, _DIGITS.findall(text)))
