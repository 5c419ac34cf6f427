"""What the rooms hand to each other: where in a text something stands that has to go."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

CARD_MASK = "[card]"
ACCOUNT_MASK = "[account]"
SECRET_MASK = "[secret]"  # noqa: S105 - the mask, not a secret


class Span(NamedTuple):
    """A stretch of a text, `end` excluded, and what is to stand in its place."""

    start: int
    end: int
    mask: str


# Finders yield spans in the order of the text, none overlapping the one before.
Finder: TypeAlias = Callable[[str], Iterable[Span]]


def masked(text: str, spans: Iterable[Span]) -> str:
    """Return the text with every span replaced; the same object if there is none."""
    parts: list[str] = []
    done = 0
    for start, end, mask in spans:
        parts += [text[done:start], mask]
        done = end
    return "".join([*parts, text[done:]]) if parts else text
