"""A board as values: rows of panels with their queries, independent of Grafana's JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

GRID_COLUMNS = 24


class PanelKind(StrEnum):
    """The Grafana visualization of a panel."""

    STAT = "stat"
    TIMESERIES = "timeseries"
    TABLE = "table"
    STATE_TIMELINE = "state-timeline"


class Colour(StrEnum):
    """Colours by meaning; `PLAIN` is neutral."""

    GOOD = "green"
    WARNING = "orange"
    BAD = "red"
    PLAIN = "blue"
    QUIET = "#8e8e8e"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression that may hold Grafana's variables.

    An `instant` query is evaluated once, at the end of the time range. `empty_when` says why a query finds
    nothing while all is well; without it, no result is a defect.
    """

    expr: str
    legend: str = ""
    instant: bool = False
    empty_when: str = ""


@dataclass(frozen=True, slots=True)
class ThresholdStep:
    """The colour from `value` upwards; None is the lowest step."""

    value: float | None
    colour: Colour


@dataclass(frozen=True, slots=True)
class ValueMapping:
    """The text and the colour of one value."""

    value: int
    text: str
    colour: Colour


@dataclass(frozen=True, slots=True)
class FieldOverride:
    """How one series differs from the others of its panel."""

    colour: str = ""
    decimals: int | None = None
    unit: str = ""
    steps: tuple[ThresholdStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `alerts` names the alerts it explains; their runbooks are linked.

    Width is in columns of 24, `unit` is one of Grafana's, `no_value` is shown when nothing was found. For a
    table, `columns` maps each label that is shown to its heading.
    """

    title: str
    kind: PanelKind
    description: str
    queries: tuple[Query, ...]
    width: int
    height: int = 8
    unit: str = "none"
    decimals: int | None = None
    steps: tuple[ThresholdStep, ...] = ()
    alerts: tuple[str, ...] = ()
    no_value: str = ""
    stacked: bool = False
    colour_background: bool = False
    min_value: float | None = None
    max_value: float | None = None
    value_mappings: tuple[ValueMapping, ...] = ()
    overrides: Mapping[str, FieldOverride] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading, laid from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of the board: the values of `label` in `series`, several or all."""

    name: str
    title: str
    series: str
    label: str
    values: tuple[str, ...]

    @property
    def query(self) -> str:
        """Return the query by which Grafana finds the values."""
        return f"label_values({self.series}, {self.label})"


@dataclass(frozen=True, slots=True)
class Board:
    """A whole board. The series of `annotation` are drawn as annotations."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    annotation: Query
    rows: tuple[Row, ...]
    runbooks: Mapping[str, str]

    def panels(self) -> Iterator[Panel]:
        """Yield every panel in the order of the board."""
        return (panel for row in self.rows for panel in row.panels)
