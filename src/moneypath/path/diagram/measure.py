"""Estimate the width of text without a font, and wrap it.

The factors are em per character and an upper bound. Each is at least the advance width of its characters in
Arial, Helvetica, Liberation Sans and DejaVu Sans (the widest that a viewer falls back on). Bold cuts need
BOLD times as much.
"""

import unicodedata

THIN = 0.35
SLIM = 0.43
NORMAL = 0.64
CAPITAL = 0.79
BROAD = 1.03
PICTOGRAPH = 1.4
BOLD = 1.14

_THIN_CHARACTERS = frozenset("ijl.,:;'| ")
_SLIM_CHARACTERS = frozenset("frt()[]!-/\\")
_BROAD_CHARACTERS = frozenset("mwMW@%#&+<=>^~\N{REPLACEMENT CHARACTER}")
_FIRST_PICTOGRAPH = 0x1F000


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return an upper bound of the width of `text`, in the unit of `size` (the height of an em)."""
    return sum(map(_factor, text)) * size * (BOLD if bold else 1.0)


def _factor(character: str) -> float:
    if character in _THIN_CHARACTERS:
        return THIN
    if character in _SLIM_CHARACTERS:
        return SLIM
    if character in _BROAD_CHARACTERS:
        return BROAD
    if ord(character) >= _FIRST_PICTOGRAPH:
        return PICTOGRAPH
    if unicodedata.east_asian_width(character) in "WF":
        return BROAD
    # What is not a Latin, Greek or Cyrillic letter may be as wide as a capital.
    if character.isupper() or ord(character) >= 0x0530:
        return CAPITAL
    return NORMAL


def wrap(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Return `text` in lines at most `width` wide. A word that is wider is broken; nothing is left out."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if text_width(joined, size, bold=bold) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        *full, line = _pieces(word, width, size, bold=bold)
        lines += full
    return [*lines, line] if line else lines


def _pieces(word: str, width: float, size: float, *, bold: bool) -> list[str]:
    pieces = [""]
    for character in word:
        if pieces[-1] and text_width(pieces[-1] + character, size, bold=bold) > width:
            pieces.append("")
        pieces[-1] += character
    return pieces
