"""Write label matchers as PromQL, and read them back.

Values of our own metrics are plain words. Those of a declared series are as they are, so what a regular
expression would read as something else stands in brackets: a backslash would have to be doubled.
"""

import re
from collections.abc import Iterable
from typing import Final

from moneypath.path.selection import LabelMatcher

_SPECIAL: Final = re.compile(r"[.*+?()\[\]{}|]")
_BRACKETED: Final = re.compile(r"\[(.)\]")
_BAR: Final = re.compile(r"\|(?!\])")


def selector(select: tuple[LabelMatcher, ...], *more: str) -> str:
    """Return `select` between braces, or nothing when it selects everything."""
    matchers = [one_of(match.label, match.values) for match in select]
    inside = ", ".join((*matchers, *more))
    return f"{{{inside}}}" if inside else ""


def one_of(label: str, values: tuple[str, ...]) -> str:
    """Return the matcher for any of `values`."""
    return f'{label}="{values[0]}"' if len(values) == 1 else f'{label}=~"{pattern(values)}"'


def none_of(label: str, values: tuple[str, ...]) -> str:
    """Return the matcher for whatever is none of `values`, series without the label included."""
    return f'{label}!="{values[0]}"' if len(values) == 1 else f'{label}!~"{pattern(values)}"'


def pattern(values: Iterable[str]) -> str:
    """Return the regular expression that matches exactly `values`."""
    return "|".join(_SPECIAL.sub(r"[\g<0>]", value) for value in values)


def values_of(pattern_text: str) -> tuple[str, ...]:
    """Return the values that `pattern` wrote."""
    return tuple(_BRACKETED.sub(r"\1", part) for part in _BAR.split(pattern_text))
