"""Queries in dilated time: runbooks and drills write windows in production time, as rules do."""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from moneypath.alerting.rules import LiteralKind, RuleLiteral
from moneypath.alerting.timing import Scale
from moneypath.path.durations import parse_duration
from moneypath.prometheus import Sample
from moneypath.runbooks.ports import Query

# Text between quotes comes first, so that a bracket in it is no window.
_WINDOW: Final = re.compile(
    r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|\[\s*(\d{1,6}(?:ms|s|m|h|d))\s*\]"""
)


def dilated(query: Query, scale: Scale) -> Query:
    """Return `query` with every window such as `[5m]` shortened as the rules are, never below their floor.

    Recorded series are shortened already; a subquery or `offset` keeps its own times.
    """

    async def ask(promql: str, /) -> Sequence[Sample]:
        return await query(scale_windows(promql, scale))

    return ask


def scale_windows(promql: str, scale: Scale) -> str:
    """Return `promql` with its windows at `scale`."""

    def shorten(match: re.Match[str]) -> str:
        if match[1]:
            return match[1]
        window = RuleLiteral(LiteralKind.WINDOW, Fraction(parse_duration(match[2])), "window")
        return f"[{round(scale.apply(window) * 1000)}ms]"

    return promql if scale.factor == 1 else _WINDOW.sub(shorten, promql)
