"""Card numbers that stand together: plain, or in groups with blanks, dashes or dots between them."""

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
from moneypath.telemetry.redaction.spans import CARD_MASK, Span

# Blanks and dashes as keyboards, typesetters and form encoding (+) write them.
_BLANKS = r"\t +\u00a0\u2002-\u200a\u202f\u2010-\u2015\u2212-"

# Left alternatives win and are kept: a UUID, and hashes in hexadecimal at their usual lengths.
_NUMBERS = re.compile(
    r"(?P<uuid>(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z]))"
    r"|(?P<hash>(?<![0-9A-Za-z])(?![0-9]+(?![0-9A-Za-z]))"
    r"(?:[0-9A-Fa-f]{128}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{32})(?![0-9A-Za-z]))"
    rf"|(?P<run>[0-9]+(?:(?:[{_BLANKS}]{{1,3}}|\.)[0-9]+)*)"
)
_GROUP = re.compile(r"[0-9]+")
# What no card number lacks: most texts with digits are done with after this one look.
_CANDIDATE = re.compile(rf"[0-9](?:(?:[{_BLANKS}]{{1,3}}|\.)?[0-9]){{11}}")
# A time written without marks, down to micro- or nanoseconds, is longer than a card number, and no card.
_TIMESTAMP = re.compile(
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){2}"
    r"(?:[0-9]{6}|[0-9]{9})"
)
# Dotted groups shorter than this belong to addresses, versions and dates.
_SHORTEST_DOTTED_GROUP = 3


def find_cards(text: str) -> Iterator[Span]:
    """Find card numbers whose groups, if any, are at most three blanks or dashes, or one dot, apart."""
    if not _CANDIDATE.search(text):
        return
    for match in _NUMBERS.finditer(text):
        if match.lastgroup == "run" and match.end() - match.start() >= SHORTEST_CARD:
            yield from _in_run(_Run(text, *match.span()))


def holds_card(text: str) -> bool:
    """Tell whether a text holds a card number that stands together; all that a text of digits can hide."""
    return next(find_cards(text), None) is not None


class _Run:
    """Groups of digits, each beginning at `offsets[i]` of all `digits` and at `starts[i]` of the text."""

    __slots__ = ("digits", "dotted", "ends", "group_ending_at", "offsets", "starts", "text")

    def __init__(self, text: str, start: int, end: int) -> None:
        self.text = text
        groups = [match.span() for match in _GROUP.finditer(text, start, end)]
        self.starts = [group[0] for group in groups]
        self.ends = [group[1] for group in groups]
        self.digits = "".join(text[first:last] for first, last in groups)
        self.offsets = [0, *accumulate(last - first for first, last in groups)]
        self.group_ending_at = {offset: index for index, offset in enumerate(self.offsets[1:])}
        # Of each group but the first, whether a dot stands before it.
        self.dotted = [
            text[last:first] == "." for last, first in zip(self.ends, self.starts[1:], strict=False)
        ]

    def last_group(self, first: int) -> int | None:
        """Return the group at which the longest card number ends that begins with the group `first`."""
        begin = self.offsets[first]
        for length in issued_lengths(self.digits[begin : begin + PREFIX_DIGITS]):
            last = self.group_ending_at.get(begin + length)
            if last is None or not is_luhn_valid(self.digits[begin : begin + length]):
                continue
            if not any(self.dotted[first:last]) or self._is_dotted_number(first, last):
                return last
        return None

    def _is_dotted_number(self, first: int, last: int) -> bool:
        """Tell it from a decimal (one dot), a list (blanks too), an address or a date (short groups)."""
        sizes = [self.ends[index] - self.starts[index] for index in range(first, last)]
        return len(sizes) > 1 and all(self.dotted[first:last]) and min(sizes) >= _SHORTEST_DOTTED_GROUP

    def is_fraction(self, index: int) -> bool:
        """Tell whether a dot and other digits stand before the group, as in 0.4111111111111111."""
        return index > 0 and self.dotted[index - 1]


def _in_run(run: _Run) -> Iterator[Span]:
    first = 0
    while first < len(run.starts):
        fraction = run.is_fraction(first)
        last = run.last_group(first)
        if last is not None and not (fraction and (last == first or not run.dotted[first])):
            yield Span(run.starts[first], run.ends[last], CARD_MASK)
            first = last + 1
            continue
        if not fraction:
            for start, end in sorted(_at_borders(run.text, run.starts[first], run.ends[first])):
                yield Span(start, end, CARD_MASK)
        first += 1


def _at_borders(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Find card numbers where a run of digits longer than any of them begins or ends.

    What is glued to a card number is an expiry date, a counter, padding. Only the lengths that nearly all
    cards have count, and only at the ends: otherwise long digits pass every check by chance too often.
    """
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
    """Return the length of the longest usual card number that begins, or ends, at a place; 0 if none does."""
    for length in range(LONGEST_CARD, SHORTEST_CARD - 1, -1):
        start = place - length if at_end else place
        if length in usual_lengths(text[start : start + PREFIX_DIGITS]) and is_luhn_valid(
            text[start : start + length]
        ):
            return length
    return 0
