"""Every query of a board, with Grafana's variables replaced by Grafana's own rules.

A PromQL parser must not see a variable, and Prometheus never does. The rules, with where they are written:

- `$__interval` is the time range over the panel's number of points, rounded to a fixed ladder, and never
  below the data source's scrape interval (Grafana manual, "Global variables"; ladder: `roundInterval` in
  Grafana's `packages/grafana-data/src/datetime/rangeutil.ts`).
- `$__rate_interval` is max($__interval + scrape interval, 4 x scrape interval) (Grafana manual, "Prometheus
  query editor", "Use $__rate_interval").
- `$__range` is the time range in whole seconds (Grafana manual, "Global variables").
- `${name:regex}` of several values is `(a|b)` with each escaped, of one value the value escaped; All with a
  custom value is that value, whatever the format (Grafana manual, "Advanced variable format options";
  `formatRegistry` and `CustomAllValue` in Grafana's scenes).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from moneypath.dashboards.model import Board, Panel, Query
from moneypath.dashboards.provisioning import SCRAPE_INTERVAL_SECONDS
from moneypath.dashboards.render import ALL, panel_id, ref_id
from moneypath.errors import MoneypathError

# Below the first number of milliseconds, the second; from Grafana's ladder, as far as a board goes.
_LADDER: Final = (
    (10, 1), (15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500), (1_500, 1_000),
    (3_500, 2_000), (7_500, 5_000), (12_500, 10_000), (17_500, 15_000), (25_000, 20_000),
    (45_000, 30_000), (90_000, 60_000), (210_000, 120_000), (450_000, 300_000), (750_000, 600_000),
    (1_050_000, 900_000), (1_500_000, 1_200_000), (2_700_000, 1_800_000), (5_400_000, 3_600_000),
    (9_000_000, 7_200_000), (16_200_000, 10_800_000), (32_400_000, 21_600_000),
)  # fmt: skip
_TOP: Final = 43_200_000
_SPECIAL: Final = re.compile(r"[\\^$*+?.()|\[\]{}/]")
_VARIABLE: Final = re.compile(
    r"\$\{(?P<name>\w+):regex\}|\$(?P<builtin>__rate_interval|__interval|__range)\b"
)


class VariableUnknown(MoneypathError):
    """A query that holds a variable the board does not have."""

    code = "variable_unknown"


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The inputs of Grafana's time variables: range, points of the panel, interval of the data source."""

    range_seconds: int = 3600
    points: int = 600
    scrape_seconds: int = SCRAPE_INTERVAL_SECONDS

    @property
    def interval_milliseconds(self) -> int:
        """Return `$__interval`, which is also the step of the query."""
        asked = self.range_seconds * 1000 / self.points
        rounded = next((value for below, value in _LADDER if asked < below), _TOP)
        return max(rounded, self.scrape_seconds * 1000)

    @property
    def rate_interval_milliseconds(self) -> int:
        """Return `$__rate_interval`."""
        scrape = self.scrape_seconds * 1000
        return max(self.interval_milliseconds + scrape, 4 * scrape)

    def value(self, builtin: str) -> str:
        """Return a built-in variable as text."""
        milliseconds = {
            "__interval": self.interval_milliseconds,
            "__rate_interval": self.rate_interval_milliseconds,
            "__range": self.range_seconds * 1000,
        }[builtin]
        return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


@dataclass(frozen=True, slots=True)
class RenderedQuery:
    """One query as Prometheus gets it; `where` names the panel's id, title and query."""

    where: str
    expr: str
    instant: bool
    empty_when: str


Choices = Mapping[str, tuple[str, ...]]
"""The values chosen for each variable; a variable without an entry stands on All."""


def queries(board: Board, times: TimeRange, choices: Choices | None = None) -> tuple[RenderedQuery, ...]:
    """Return every query of the board: panels, annotation, and the values of variables.

    Raises VariableUnknown.
    """
    chosen = {variable.name: ALL for variable in board.variables}
    chosen |= {name: regex(values) for name, values in (choices or {}).items()}
    found: list[RenderedQuery] = []
    for where, query in _written(board):
        found.append(
            RenderedQuery(where, substitute(query.expr, chosen, times), query.instant, query.empty_when)
        )
    return tuple(found)


def substitute(expr: str, chosen: Mapping[str, str], times: TimeRange) -> str:
    """Return `expr` with every variable replaced by its value in `chosen`."""

    def value(match: re.Match[str]) -> str:
        if match["builtin"]:
            return times.value(match["builtin"])
        if match["name"] not in chosen:
            raise VariableUnknown(
                f"variable: {match['name']} in {expr}", hint=f"Use one of {', '.join(sorted(chosen))}."
            )
        return chosen[match["name"]]

    replaced = _VARIABLE.sub(value, expr)
    if "$" in replaced:
        raise VariableUnknown(
            f"variable: left over in {replaced}",
            hint="Write ${name:regex}, $__interval, $__rate_interval or $__range.",
        )
    return replaced


def regex(values: tuple[str, ...]) -> str:
    """Return the chosen values of a variable in Grafana's format `regex`."""
    escaped = [_SPECIAL.sub(r"\\\g<0>", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _written(board: Board) -> Iterator[tuple[str, Query]]:
    for variable in board.variables:
        # What `label_values` comes to: the values exist when the series does.
        exists = Query(f"group by ({variable.label}) ({variable.series})", instant=True)
        yield f"variable {variable.name}", exists
    yield "annotation", board.annotation
    for number, row in enumerate(board.rows, start=1):
        for position, panel in enumerate(row.panels, start=1):
            yield from _of_panel(panel_id(number, position), panel)


def _of_panel(number: int, panel: Panel) -> Iterator[tuple[str, Query]]:
    for place, query in enumerate(panel.queries):
        yield f"panel {number} {panel.title}, query {ref_id(place)}", query
