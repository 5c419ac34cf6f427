"""Queries in dilated time: the windows of pages and drills are production time, like the rules'."""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from moneypath.alerting.leaf import Leaf, Mark
from moneypath.alerting.timing import Scale
from moneypath.path.durations import parse_duration
from moneypath.runbooks.ports import Query, Sample

# Text between quotes comes first, so that a bracket in it is no window.
_WINDOW: Final = re.compile(
    r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|\[\s*(\d{1,6}(?:ms|s|m|h|d))\s*\]"""
)


def dilated(query: Query, scale: Scale) -> Query:
    """Return `query` with every window `[5m]` shortened as rules are at `scale`, never below their floor.

    A recorded series has its window already; a subquery or `offset` keeps its own times.
    """

    async def ask(promql: str, /) -> Sequence[Sample]:
        return await query(in_time(promql, scale))

    return ask


def in_time(promql: str, scale: Scale) -> str:
    """Return `promql` with its windows at `scale`."""

    def shorten(match: re.Match[str]) -> str:
        if match[1]:
            return match[1]
        window = Leaf(Mark.WINDOW, Fraction(parse_duration(match[2])), "window")
        return f"[{round(scale.apply(window) * 1000)}ms]"

    return promql if scale.factor == 1 else _WINDOW.sub(shorten, promql)
