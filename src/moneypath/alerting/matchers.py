"""Write label matchers as PromQL, and read them back.

Values of our own metrics are plain words. Those of a declared series are as they are, so what a regular
expression would read as something else has a backslash, which a text of PromQL doubles. Brackets around it
would be shorter, but not every reader of PromQL takes `[[]`.
"""

import re
from collections.abc import Iterable
from typing import Final

from moneypath.path.selection import LabelMatcher

_SPECIAL: Final = re.compile(r"[.*+?()\[\]{}|]")
_ESCAPED: Final = re.compile(r"\\(.)")
_BAR: Final = re.compile(r"(?<!\\)\|")


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
    """Return the regular expression that matches exactly `values`, as a text of PromQL has it."""
    return "|".join(_SPECIAL.sub(r"\\\\\g<0>", value) for value in values)


def values_of(pattern_text: str) -> tuple[str, ...]:
    """Return the values of a `pattern` after a parser has read the text of PromQL."""
    return tuple(_ESCAPED.sub(r"\1", part) for part in _BAR.split(pattern_text))
