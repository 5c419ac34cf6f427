"""Finds card numbers in one piece: plain, or in groups separated by blanks, dashes or one sign of `._/:`."""

import re
from collections.abc import Iterator
from itertools import accumulate

from moneypath.telemetry.redaction.issuers import (
    LONGEST_CARD,
    PREFIX_DIGITS,
    SHORTEST_CARD,
    is_card_number,
    is_luhn_valid,
    issued_lengths,
    usual_lengths,
)
from moneypath.telemetry.redaction.masking import CARD_MASK, MaskedRange

# Blanks and dashes of keyboards, typesetting and form encoding (+).
_BLANKS = r"\t +\u00a0\u2002-\u200a\u202f\u2010-\u2015\u2212-"
# Signs that also stand in decimals, dates, times, addresses and paths.
_SIGNS = "._/:"

# Earlier alternatives win and stay unmasked: UUIDs, and hexadecimal hashes of the usual lengths.
_NUMBERS = re.compile(
    r"(?P<uuid>(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z]))"
    r"|(?P<hash>(?<![0-9A-Za-z])(?![0-9]+(?![0-9A-Za-z]))"
    r"(?:[0-9A-Fa-f]{128}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{32})(?![0-9A-Za-z]))"
    rf"|(?P<run>[0-9]+(?:(?:[{_BLANKS}]{{1,3}}|[{_SIGNS}])[0-9]+)*)"
)
_GROUP = re.compile(r"[0-9]+")
# Every card number matches this; most texts with digits do not and need no further check.
_CANDIDATE = re.compile(rf"[0-9](?:(?:[{_BLANKS}]{{1,3}}|[{_SIGNS}])?[0-9]){{11}}")
# A timestamp without separators, in micro- or nanoseconds: longer than a card number.
_TIMESTAMP = re.compile(
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){2}"
    r"(?:[0-9]{6}|[0-9]{9})"
)
# Shorter groups between signs occur in addresses, versions, dates and times.
_SHORTEST_SIGNED_GROUP = 3
# The expiry date of a card, month and year, written directly after its number.
_EXPIRY_DIGITS = 4
_EXPIRY = re.compile(r"(?:0[1-9]|1[0-2])[2-4][0-9]")


def find_cards(text: str) -> Iterator[MaskedRange]:
    """Find card numbers in one piece, or in groups up to three blanks or dashes, or one other sign, apart."""
    if not _CANDIDATE.search(text):
        return
    for match in _NUMBERS.finditer(text):
        if match.lastgroup == "run" and match.end() - match.start() >= SHORTEST_CARD:
            yield from _in_run(_Run(text, *match.span()))


class _Run:
    """A run of digit groups. Group `i` begins at `offsets[i]` in `digits` and at `starts[i]` in the text."""

    __slots__ = ("digits", "ends", "group_ending_at", "offsets", "signs", "starts", "text")

    def __init__(self, text: str, start: int, end: int) -> None:
        self.text = text
        groups = [match.span() for match in _GROUP.finditer(text, start, end)]
        self.starts = [group[0] for group in groups]
        self.ends = [group[1] for group in groups]
        self.digits = "".join(text[first:last] for first, last in groups)
        self.offsets = [0, *accumulate(last - first for first, last in groups)]
        self.group_ending_at = {offset: index for index, offset in enumerate(self.offsets[1:])}
        # For each group but the first: the sign that precedes it, "" for blanks and dashes.
        self.signs = [text[last] if text[last] in _SIGNS else "" for last in self.ends[:-1]]

    def last_group(self, first: int) -> int | None:
        """Return the last group of the longest card number that begins with group `first`, or None."""
        begin = self.offsets[first]
        for length in issued_lengths(self.digits[begin : begin + PREFIX_DIGITS]):
            last = self.group_ending_at.get(begin + length)
            if last is None or not is_luhn_valid(self.digits[begin : begin + length]):
                continue
            if not any(self.signs[first:last]) or self._is_signed_number(first, last):
                return last
        return None

    def _is_signed_number(self, first: int, last: int) -> bool:
        """Return whether it is one number, not a decimal (one dot), list (blanks), address, date or time."""
        sizes = [self.ends[index] - self.starts[index] for index in range(first, last)]
        one_sign = len({*self.signs[first:last]}) == 1
        is_decimal = len(sizes) == 1 and self.signs[first] == "."
        return one_sign and not is_decimal and min(sizes) >= _SHORTEST_SIGNED_GROUP

    def is_fraction(self, index: int) -> bool:
        """Return whether a dot and other digits precede the group, as in 0.4111111111111111."""
        return index > 0 and self.signs[index - 1] == "."


def _in_run(run: _Run) -> Iterator[MaskedRange]:
    first = 0
    while first < len(run.starts):
        fraction = run.is_fraction(first)
        last = run.last_group(first)
        if last is not None and not (fraction and (last == first or run.signs[first] != ".")):
            yield MaskedRange(run.starts[first], run.ends[last], CARD_MASK)
            first = last + 1
            continue
        if not fraction:
            for start, end in sorted(_at_borders(run.text, run.starts[first], run.ends[first])):
                yield MaskedRange(start, end, CARD_MASK)
        first += 1


def _at_borders(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Find card numbers at the beginning or end of a run of digits that is longer than any card number.

    An expiry date, a counter or padding may follow a card number directly. Only the common lengths count,
    and only at the ends, because long runs of digits pass every check by chance too often.
    """
    before = end - _EXPIRY_DIGITS
    if end - start <= LONGEST_CARD:
        if _EXPIRY.fullmatch(text, before, end) and is_usual_card(text[start:before]):
            yield start, before
        return
    while end - start > LONGEST_CARD and not _TIMESTAMP.fullmatch(text, start, end):
        if length := _card_at(text, start, at_end=False):
            yield start, start + length
            start += length
        elif length := _card_at(text, end, at_end=True):
            yield end - length, end
            end -= length
        else:
            return
        if end - start <= LONGEST_CARD and is_card_number(text[start:end]):
            yield start, end


def _card_at(text: str, place: int, *, at_end: bool) -> int:
    """Return the length of the longest common card number that begins, or ends, at a place; else 0."""
    for length in range(LONGEST_CARD, SHORTEST_CARD - 1, -1):
        start = place - length if at_end else place
        if is_usual_card(text[start : start + length]):
            return length
    return 0


def is_usual_card(digits: str) -> bool:
    """Return whether digits are a card number of a length that nearly all cards of its prefix have."""
    return len(digits) in usual_lengths(digits[:PREFIX_DIGITS]) and is_luhn_valid(digits)
