"""The ranges of a text that must be masked, as the finders yield them."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

CARD_MASK = "[card]"
ACCOUNT_MASK = "[account]"
SECRET_MASK = "[secret]"  # noqa: S105 - the mask, not a secret


class MaskedRange(NamedTuple):
    """A range of a text, `end` excluded, and the mask that replaces it."""

    start: int
    end: int
    mask: str


# Finders yield ranges in text order, without overlaps.
Finder: TypeAlias = Callable[[str], Iterable[MaskedRange]]


def masked(text: str, spans: Iterable[MaskedRange]) -> str:
    """Return the text with every range replaced; the same object if there are none."""
    parts: list[str] = []
    done = 0
    for start, end, mask in spans:
        parts += [text[done:start], mask]
        done = end
    return "".join([*parts, text[done:]]) if parts else text
