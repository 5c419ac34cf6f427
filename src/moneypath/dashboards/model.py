"""A board as values: rows of panels with their queries, before anything is known of Grafana's JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

GRID_COLUMNS = 24


class Kind(StrEnum):
    """How a panel shows what its queries find."""

    STAT = "stat"
    TIMESERIES = "timeseries"
    TABLE = "table"
    STATES = "state-timeline"


class Colour(StrEnum):
    """Colours by what they mean; `PLAIN` judges nothing."""

    GOOD = "green"
    WARNING = "orange"
    BAD = "red"
    PLAIN = "blue"
    QUIET = "#8e8e8e"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression with Grafana's variables in it.

    An `instant` query is asked once, for the end of the time range. `quiet` says why the query rightly
    finds nothing when all is well; without it, nothing found is a defect.
    """

    expr: str
    legend: str = ""
    instant: bool = False
    quiet: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """The colour from `value` upwards; None is the lowest step."""

    value: float | None
    colour: Colour


@dataclass(frozen=True, slots=True)
class State:
    """How one value is written, and in which colour."""

    value: int
    text: str
    colour: Colour


@dataclass(frozen=True, slots=True)
class Look:
    """How one series differs from the others of its panel."""

    colour: str = ""
    decimals: int | None = None
    unit: str = ""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `watches` names the alerts whose story it tells; their runbooks are linked.

    Width is in columns of 24, `unit` is one of Grafana's, `no_value` stands where nothing was found. Of a
    table, `columns` maps each label that is shown to its heading.
    """

    title: str
    kind: Kind
    meaning: str
    queries: tuple[Query, ...]
    width: int
    height: int = 8
    unit: str = "none"
    decimals: int | None = None
    steps: tuple[Step, ...] = ()
    watches: tuple[str, ...] = ()
    no_value: str = ""
    stacked: bool = False
    filled: bool = False
    least: float | None = None
    most: float | None = None
    states: tuple[State, ...] = ()
    looks: Mapping[str, Look] = field(default_factory=dict)
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
    """A whole board. `marks` is the query whose series are drawn as annotations."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    marks: Query
    rows: tuple[Row, ...]
    runbooks: Mapping[str, str]

    def panels(self) -> Iterator[Panel]:
        """Yield every panel in the order of the board."""
        return (panel for row in self.rows for panel in row.panels)
