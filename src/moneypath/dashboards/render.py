"""Write a board as the JSON that Grafana 11 reads, through Grafana's own schema.

The schema's builders set neither a panel's id nor a target's refId, so both are set here. The id is a
hundred times the row's number plus the place in the row: a new panel changes no link outside its row.
"""

import json
from collections.abc import Iterator, Sequence
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as grafana
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    GridPos,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from moneypath.dashboards import visuals
from moneypath.dashboards.model import GRID_COLUMNS, Board, Panel, PanelKind, Query, Variable

SCHEMA_VERSION: Final = 41
DATA_SOURCE: Final = "datasource"
# A custom value for All: it stays `.*` whatever the format, and so takes in `none`, which is nobody's id.
ALL: Final = ".*"
_PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid=f"${{{DATA_SOURCE}}}")
_ROW_HEIGHT: Final = 1


def dashboard_json(board: Board) -> str:
    """Return the board as JSON, the same text for the same board."""
    builder = (
        grafana.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags(["moneypath"])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("10s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(grafana.DatasourceVariable(DATA_SOURCE).label("Data source").type("prometheus"))
    )
    for variable in board.variables:
        builder = builder.with_variable(_variable(variable))
    for part in _grid(board):
        builder = builder.with_row(part) if isinstance(part, grafana.Row) else builder.with_panel(part)
    document: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(builder.build()))
    document["schemaVersion"] = SCHEMA_VERSION
    document["annotations"] = {"list": [_marks(board.annotation)]}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def ref_id(place: int) -> str:
    """Return the name of a panel's query by its place: A, B, C."""
    return ascii_uppercase[place]


def panel_id(row: int, place: int) -> int:
    """Return the id of a panel by its row and its place there, both from 1; a row has place 0."""
    return 100 * row + place


def _variable(variable: Variable) -> grafana.QueryVariable:
    return (
        grafana.QueryVariable(variable.name)
        .label(variable.title)
        .datasource(_PROMETHEUS)
        .query({"query": variable.query, "refId": f"variable-{variable.name}"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(ALL)
        .hide(VariableHide.DONT_HIDE)
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _grid(board: Board) -> Iterator["grafana.Row | visuals.Visual"]:
    top = 0
    for number, row in enumerate(board.rows, start=1):
        place = GridPos(h=_ROW_HEIGHT, w=GRID_COLUMNS, x=0, y=top)
        yield grafana.Row(row.title).id(panel_id(number, 0)).collapsed(False).grid_pos(place)
        top += _ROW_HEIGHT
        position = 0
        for line in lines(row.panels):
            left = 0
            for panel, width in line:
                position += 1
                place = GridPos(h=panel.height, w=width, x=left, y=top)
                yield _panel(board, panel).id(panel_id(number, position)).grid_pos(place)
                left += width
            top += max(panel.height for panel, _ in line)


def lines(panels: Sequence[Panel]) -> list[list[tuple[Panel, int]]]:
    """Return panels in lines of the grid, each with its width. The last panel of a line fills the rest."""
    found: list[list[tuple[Panel, int]]] = []
    left = GRID_COLUMNS
    for panel in panels:
        if left + panel.width > GRID_COLUMNS:
            found.append([])
            left = 0
        found[-1].append((panel, panel.width))
        left += panel.width
    for line in found:
        panel, width = line[-1]
        line[-1] = (panel, width + GRID_COLUMNS - sum(each for _, each in line))
    return found


def _panel(board: Board, panel: Panel) -> "visuals.Visual":
    visual = visuals.visual(panel).title(panel.title).description(panel.description).datasource(_PROMETHEUS)
    runbooks = dict.fromkeys(board.runbooks[alert] for alert in panel.alerts if alert in board.runbooks)
    visual = visual.links([_runbook(address) for address in runbooks])
    for place, query in enumerate(panel.queries):
        visual = visual.with_target(_target(query, ref_id(place), table=panel.kind is PanelKind.TABLE))
    return visual


def _runbook(address: str) -> grafana.DashboardLink:
    name = address.rpartition("/")[2].removesuffix(".md")
    link = grafana.DashboardLink(f"Runbook: {name}").type(DashboardLinkType.LINK)
    return link.url(address).target_blank(True)


def _target(query: Query, ref: str, *, table: bool) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(ref)
    target = target.datasource(_PROMETHEUS).format(
        PromQueryFormat.TABLE if table else PromQueryFormat.TIME_SERIES
    )
    return target.instant() if query.instant else target.range()


def _marks(query: Query) -> dict[str, Any]:
    """Return the annotation; the schema lacks Prometheus' own keys for it."""
    common = AnnotationQuery("Alerts firing", _PROMETHEUS, enable=True, icon_color="red", expr=query.expr)
    written: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(common))
    return {
        **written,
        "titleFormat": query.legend,
        "textFormat": "{{stage}} {{provider}} {{currency}}",
        "tagKeys": "severity",
        "step": "10s",
    }
