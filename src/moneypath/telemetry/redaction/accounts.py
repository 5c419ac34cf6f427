"""Finds magnetic stripe data, and international bank account numbers (IBAN, ISO 13616)."""

import re
from collections.abc import Iterator

from moneypath.telemetry.redaction.issuers import is_card_number
from moneypath.telemetry.redaction.masking import ACCOUNT_MASK, CARD_MASK, MaskedRange

# The length of each country's IBAN without blanks, from the SWIFT registry.
IBAN_LENGTHS = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "FK", "FO", "GL", "NL", "SD"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "MN", "XK"), 20),
    **dict.fromkeys(("CH", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "CR", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "OM", "SO", "TL"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("LY", "PT", "ST"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HN", "HU", "LB", "NI", "PL", "SV"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29),
    **dict.fromkeys(("JO", "KW", "MU", "YE"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    **dict.fromkeys(("LC",), 32),
    **dict.fromkeys(("RU",), 33),
}

# Searched by the check digits, which are rarer than letters. After a letter or a digit with a dash it would
# be the middle of a UUID.
_IBAN_START = re.compile(
    r"[0-9](?<=[A-Za-z]{2}[0-9])(?<![0-9A-Za-z][A-Za-z]{2}[0-9])(?<![0-9A-Za-z]-[A-Za-z]{2}[0-9])"
    r"[0-9](?=[ \u00a0-]?[0-9A-Za-z])"
)
_IBAN_CHARACTER = re.compile(r"[ \u00a0-]?([0-9A-Za-z])")
_IBAN_END = re.compile(r"(?!-?[0-9A-Za-z])")

# ISO/IEC 7813. A number between sentinels counts without a valid check digit.
_TRACK_1 = re.compile(
    r"%?[Bb][0-9](?:[ ]?[0-9]){11,18}\^[^\^?\r\n]{2,32}\^(?:[^?\r\n]{0,80}\?|[0-9A-Za-z]{0,80})"
)
_TRACK_2 = re.compile(r"[0-9](?<![0-9A-Za-z][0-9])[0-9]{11,18}[=D][0-9]{7,32}(?![0-9])[?F]?")


def find_tracks(text: str) -> Iterator[MaskedRange]:
    """Find the data of tracks 1 and 2.

    Track 2 data without sentinels counts if its number is a card number.
    """
    spans: list[MaskedRange] = []
    if "^" in text:
        spans = [MaskedRange(*match.span(), CARD_MASK) for match in _TRACK_1.finditer(text)]
    if "=" in text or "D" in text:
        for match in _TRACK_2.finditer(text):
            start, end = match.span()
            has_sentinels = text[start - 1 : start] == ";" and text[end - 1] == "?"
            if has_sentinels or is_card_number(re.split("[=D]", match.group(), maxsplit=1)[0]):
                spans.append(MaskedRange(start - has_sentinels, end, CARD_MASK))
    done = 0
    for span in sorted(spans):
        if span.start >= done:
            yield span
            done = span.end


def find_ibans(text: str) -> Iterator[MaskedRange]:
    """Find IBANs, with or without blanks: the length of their country and valid check digits."""
    done = 0
    for match in _IBAN_START.finditer(text):
        start = match.start() - 2
        length = IBAN_LENGTHS.get(text[start : start + 2].upper())
        if length is None or start < done:
            continue
        end = _iban_at(text, start, length)
        if end is not None:
            yield MaskedRange(start, end, ACCOUNT_MASK)
            done = end


def _iban_at(text: str, start: int, length: int) -> int | None:
    """Return the end of the IBAN that begins at `start`, or None."""
    characters: list[str] = []
    end = start
    while len(characters) < length and (match := _IBAN_CHARACTER.match(text, end)):
        characters.append(match[1])
        end = match.end()
    if len(characters) < length or not _IBAN_END.match(text, end):
        return None
    return end if is_iban("".join(characters)) else None


def is_iban(text: str) -> bool:
    """Return whether letters and digits are an IBAN: the length of its country, and mod 97 equal to 1."""
    text = text.upper()
    if len(text) != IBAN_LENGTHS.get(text[:2]) or not text[2:4].isdigit():
        return False
    # ISO 7064: the first four characters move to the end, and letters count from A = 10.
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1
