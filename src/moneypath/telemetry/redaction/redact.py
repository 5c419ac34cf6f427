"""The one pass over a text that every door of the library sends it through.

Masking errs on the side of taking too much: a lost word costs a minute, a leaked card number a
disclosure. What it must leave alone, or logs become useless: order ids, timestamps, UUIDs, hashes.
"""

import re

from moneypath.telemetry.redaction.accounts import find_ibans, find_tracks
from moneypath.telemetry.redaction.cards import find_cards
from moneypath.telemetry.redaction.coded import Decoded, may_be_coded
from moneypath.telemetry.redaction.fields import find_split_cards
from moneypath.telemetry.redaction.issuers import SHORTEST_CARD
from moneypath.telemetry.redaction.secrets import (
    find_bearers,
    find_keys,
    find_named,
    find_shapes,
    find_userinfo,
)
from moneypath.telemetry.redaction.spans import CARD_MASK, Finder, masked

# The mask of a card number may leave the digits beside it with a new end. Each pass takes linear time.
_PASSES = 4

_DIGITS = re.compile(r"[0-9]+")
# What every line of a log holds, and what can hold nothing else: UUIDs and times.
_HARMLESS = re.compile(
    r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"|(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9](?::[0-6][0-9]){2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
# Check digits: the rest may be letters.
_FEWEST_IBAN_DIGITS = 2
# The whole before its parts: a card number within a track or an account number would take only itself away,
# and behind `password=` a spaced one would lose its first group only.
_NUMBERS: tuple[Finder, ...] = (find_tracks, find_ibans, find_cards, find_split_cards)
_SECRETS: tuple[Finder, ...] = (find_keys, find_named, find_bearers, find_shapes, find_userinfo)


def redact(text: str) -> str:
    """Mask card numbers, account numbers and credentials in every disguise known; the rest is unchanged.

    Redacting twice changes nothing more. Takes time linear in the text's length.
    """
    if (len(text) < SHORTEST_CARD and text.isalnum()) or (len(text) <= 36 and _HARMLESS.fullmatch(text)):
        return text
    for _ in range(_PASSES):
        cards = text.count(CARD_MASK)
        text = _plainly(text)
        if may_be_coded(text):
            text = _decoded(text)
        if text.count(CARD_MASK) == cards:
            break
    return text


def redact_bytes(content: bytes) -> bytes:
    """Redact UTF-8 content; bytes that are none are kept as they are."""
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
    """Return who has to look: a text without digits enough holds no number."""
    digits = sum(map(len, _DIGITS.findall(text)))
    if digits >= SHORTEST_CARD:
        return (*_NUMBERS, *_SECRETS)
    return (find_ibans, *_SECRETS) if digits >= _FEWEST_IBAN_DIGITS else _SECRETS
