"""Decodes URL encoding and escapes, and maps positions in the decoded text back to the original."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from moneypath.telemetry.redaction.masking import MaskedRange

_PERCENT = r"%(?:25){0,2}"  # encoded up to three times
_BACKSLASHES = r"\\{1,8}"  # JSON, nested up to three times
_SIGNS = (
    rf"{_PERCENT}(?P<percent>[2-7][0-9A-Fa-f])|{_BACKSLASHES}(?:u00|x)(?P<escape>[2-7][0-9A-Fa-f])"
    rf"|{_PERCENT}(?P<blank>0[9AaDd]|[Cc]2{_PERCENT}[Aa]0)|{_BACKSLASHES}(?P<gap>u00[Aa]0|x[Aa]0|[tnr])"
    rf"|{_PERCENT}(?P<dash>[Ee]2{_PERCENT}80{_PERCENT}9[0-5])|{_BACKSLASHES}(?P<hyphen>u201[0-5])"
)
_CODED_ASCII = re.compile(_SIGNS)
# Full-width digits and digits of other scripts.
_CODED = re.compile(rf"{_SIGNS}|(?P<digit>(?![0-9])\d)")


class Decoded:
    """A text that was decoded once."""

    __slots__ = ("_at_plain", "_at_text", "plain")

    def __init__(self, text: str) -> None:
        parts: list[str] = []
        self._at_plain, self._at_text = [0], [0]
        done = length = 0
        for match in (_CODED_ASCII if text.isascii() else _CODED).finditer(text):
            start, end = match.span()
            parts += [text[done:start], _character(match)]
            length += start - done + 1
            self._at_plain += [length - 1, length]
            self._at_text += [start, end]
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


def _character(match: re.Match[str]) -> str:
    if code := match["percent"] or match["escape"]:
        return chr(int(code, 16))
    if match["dash"] or match["hyphen"]:
        return "-"
    return " " if match["blank"] or match["gap"] else str(unicodedata.digit(match.group()))
