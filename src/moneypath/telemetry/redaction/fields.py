"""Finds card numbers that are split over neighbouring fields or list items."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from moneypath.telemetry.redaction.issuers import LONGEST_CARD, SHORTEST_CARD, is_card_number
from moneypath.telemetry.redaction.masking import CARD_MASK, MaskedRange

# A shorter part is a count, a port or a status; only the last part of a number may be shorter.
SHORTEST_PART = 4
# In a longer list of bare numbers only the two ends are checked: joined anywhere, amounts and ids would
# pass every check by chance.
LONGEST_LIST = 8

_QUOTES = r"[\"'\\]{0,10}"
_CLOSING = rf"{_QUOTES}[)\]}} \t]{{0,8}}"
_OPENING = rf"[(\[{{ \t]{{0,8}}{_QUOTES}"
_BETWEEN = r"(?:[,;|&]\s{0,80})?"
_NAME = rf"(?P<name>{_QUOTES}[A-Za-z_][A-Za-z0-9_.-]{{0,48}}{_QUOTES}\s{{0,8}}(?:=>|[:=])\s{{0,8}})"
_TAGS = r"</?[A-Za-z][^<>]{0,64}>(?:\s{0,80}</?[A-Za-z][^<>]{0,64}>){0,4}"
# The text between the digits of two neighbouring fields, such as `", "pan_last": "`, `&last=`, `</a><b>`.
_GLUE = re.compile(
    rf"{_CLOSING}{_BETWEEN}\s{{0,80}}{_OPENING}{_NAME}{_OPENING}|{_CLOSING}{_BETWEEN}{_OPENING}|{_TAGS}"
)
_LONGEST_GLUE = 240
# Whole numbers only: no fractions, and no digits that continue as a word.
_VALUE = re.compile(
    rf"[0-9](?<![0-9][0-9])(?<![0-9]\.[0-9])[0-9]{{0,{LONGEST_CARD - 1}}}(?![0-9A-Za-z_]|\.[0-9])"
)
_WORD = re.compile(r"[A-Za-z_]")
# A split number has one very long part, or two parts of at least this length.
_LONG = re.compile(rf"[0-9]{{{SHORTEST_PART},}}")


class Part(NamedTuple):
    """The digits of one field. `named`: a field name precedes it."""

    digits: str
    named: bool
    start: int = 0
    end: int = 0


def find_split_cards(text: str) -> Iterator[MaskedRange]:
    """Find card numbers whose digits are in neighbouring fields of JSON, of pairs or of a list."""
    long = _LONG.findall(text)
    if len(long) < 2 and (not long or len(long[0]) < SHORTEST_CARD - SHORTEST_PART + 1):
        return
    chain: list[Part] = []
    # Digits at the end of a word may begin a number or belong to a name; what follows decides.
    ending: Part | None = None
    for match in _VALUE.finditer(text):
        part = Part(match.group(), False, *match.span())
        if _WORD.match(text[part.start - 1 : part.start]):
            ending = part
            continue
        glue = _glue(text, chain[-1], part) if chain else None
        if glue is None:
            yield from _spans(chain)
            glue = None if ending is None else _glue(text, ending, part)
            chain = [] if ending is None or glue is None else [ending]
        chain.append(part._replace(named=glue is not None and glue["name"] is not None))
    yield from _spans(chain)


def _glue(text: str, part: Part, following: Part) -> re.Match[str] | None:
    is_near = following.start - part.end <= _LONGEST_GLUE
    return _GLUE.fullmatch(text, part.end, following.start) if is_near else None


def _spans(chain: list[Part]) -> Iterator[MaskedRange]:
    for first, last in sorted(joined(chain)):
        for part in chain[first:last]:
            yield MaskedRange(part.start, part.end, CARD_MASK)


def joined(chain: list[Part]) -> Iterator[tuple[int, int]]:
    """Find neighbouring parts that form a card number: the first part, and the one after the last."""
    if len(chain) < 2 or sum(len(part.digits) for part in chain) < SHORTEST_CARD:
        return
    first, end = 0, len(chain)
    while end - first > LONGEST_LIST and not any(part.named for part in chain[first + 1 : end]):
        if last := _last_part(chain, first, end):
            yield first, last
            first = last
        elif (begin := _first_part(chain, first, end)) is not None:
            yield begin, end
            end = begin
        else:
            return
    while first < end:
        if last := _last_part(chain, first, end):
            yield first, last
            first = last
        else:
            first += 1


def _last_part(chain: list[Part], first: int, end: int) -> int:
    """Return the end of the longest card number that begins with part `first`; 0 if there is none."""
    digits, found = "", 0
    for index in range(first, end):
        digits += chain[index].digits
        if len(digits) > LONGEST_CARD:
            break
        if index > first and is_card_number(digits):
            found = index + 1
        if len(chain[index].digits) < SHORTEST_PART:
            break
    return found


def _first_part(chain: list[Part], first: int, end: int) -> int | None:
    """Return the first part of the longest card number that ends before part `end`, or None."""
    digits, found = "", None
    for index in range(end - 1, first - 1, -1):
        digits = chain[index].digits + digits
        if len(digits) > LONGEST_CARD or (index < end - 1 and len(chain[index].digits) < SHORTEST_PART):
            break
        if index < end - 1 and is_card_number(digits):
            found = index
    return found
