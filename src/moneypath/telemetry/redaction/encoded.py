"""Decodes URL encoding, escapes and other writings of digits, and maps positions back to the original."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache

from moneypath.telemetry.redaction.masking import MaskedRange

_PERCENT = r"%(?:25){0,2}"  # encoded up to three times
_BACKSLASHES = r"\\{1,8}"  # JSON, nested up to three times
_HEX = "[0-9A-Fa-f]"
_CODED_ASCII = re.compile(
    # Bytes of UTF-8 that are not ASCII.
    rf"(?P<bytes>{_PERCENT}[C-Fc-f]{_HEX}(?:{_PERCENT}[89ABab]{_HEX}){{1,3}})"
    rf"|{_PERCENT}(?P<percent>[2-7]{_HEX})|{_BACKSLASHES}(?:u00|x)(?P<escape>[2-7]{_HEX})"
    rf"|{_PERCENT}(?P<blank>0[9AaDd])|{_BACKSLASHES}(?P<gap>[tnr])"
    # Escapes of what is not ASCII, in one or two halves.
    rf"|{_BACKSLASHES}(?P<pair>u[Dd][89ABab]{_HEX}{{2}}{_BACKSLASHES}u[Dd][C-Fc-f]{_HEX}{{2}})"
    rf"|{_BACKSLASHES}(?:x|u|U000)(?P<code>(?<=x){_HEX}{{2}}|(?<=u){_HEX}{{4}}|(?<=U000){_HEX}{{5}})"
)
_CODED = re.compile(rf"{_CODED_ASCII.pattern}|(?P<other>[^\x00-\x7f])")
_BYTE = re.compile(rf"({_HEX}{{2}})(?=%|$)")
# Shown as nothing, and not of the category of format characters (Unicode, Default_Ignorable_Code_Point); and
# the frame of a keycap.
_IGNORABLE = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x20E3, 0x3164, 0xFFA0),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)
_KNOWN_CHARACTERS = 4096


class Decoded:
    """A text that was decoded once."""

    __slots__ = ("_at_plain", "_at_text", "plain")

    def __init__(self, text: str) -> None:
        parts: list[str] = []
        self._at_plain, self._at_text = [0], [0]
        done = length = 0
        for match in (_CODED_ASCII if text.isascii() else _CODED).finditer(text):
            start, end = match.span()
            written = _characters(match)
            parts += [text[done:start], written]
            length += start - done
            self._at_plain += [length, length + len(written)]
            self._at_text += [start, end]
            length += len(written)
            done = end
        self.plain = "".join([*parts, text[done:]])

    def spans(self, found: Iterable[MaskedRange]) -> Iterator[MaskedRange]:
        """Convert ranges of the decoded text to ranges of the original."""
        for start, end, mask in found:
            yield MaskedRange(self._text_place(start), self._text_place(end), mask)

    def _text_place(self, place: int) -> int:
        index = bisect_right(self._at_plain, place) - 1
        return self._at_text[index] + place - self._at_plain[index]


def may_be_encoded(text: str) -> bool:
    """Return whether decoding could change the text; a quick check."""
    return "%" in text or "\\" in text or not text.isascii()


def _characters(match: re.Match[str]) -> str:
    """Return what stands for one match, as ASCII where it is a digit, a sign or a blank."""
    found = match[match.lastgroup or 0]
    match match.lastgroup:
        case "percent" | "escape":
            return chr(int(found, 16))
        case "blank" | "gap":
            return " "
        case "bytes":
            content = bytes.fromhex("".join(_BYTE.findall(found)))
            return "".join(map(plainly, content.decode(errors="replace")))
        case "pair":
            high, low = int(found[1:5], 16), int(found[-4:], 16)
            return plainly(chr(0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF)))
        case "code":
            return plainly(chr(int(found, 16)))
        case _:
            return plainly(found)


@lru_cache(maxsize=_KNOWN_CHARACTERS)
def plainly(character: str) -> str:
    """Return a character as ASCII if it is a digit, a sign or a blank in another form; "" if it is not shown.

    Digits of every script, superscript, circled and full-width ones; format characters are not shown.
    """
    if character.isascii():
        return character
    if character in _IGNORABLE or unicodedata.category(character) == "Cf":
        return ""
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    compatible = unicodedata.normalize("NFKC", character)
    is_plain = compatible.isascii() and (len(compatible) == 1 or compatible.isdigit())
    return compatible if is_plain else character
