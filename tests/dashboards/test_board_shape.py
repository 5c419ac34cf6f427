"""The generated board: ids, places, words, links, and colours that turn where the page is sent."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from moneypath.alerting import rule_groups
from moneypath.alerting.conventions import watchdog_name
from moneypath.dashboards.board import money_path_board
from moneypath.dashboards.generate import DATA_SOURCES_FILE, PROVIDERS_FILE, board_ids, generate
from moneypath.dashboards.model import GRID_COLUMNS, Board, PanelKind
from moneypath.dashboards.provisioning import BOARDS_FOLDER
from moneypath.path.loader import load
from moneypath.path.model import MoneyPath

from .conftest import ROOT

BOARD_FILE = "dashboards/money-path.json"


@pytest.fixture(scope="module")
def document(money_path: MoneyPath) -> dict[str, Any]:
    """Return the board as Grafana reads it."""
    loaded: dict[str, Any] = json.loads(generate(money_path)[BOARD_FILE])
    return loaded


@pytest.fixture(scope="module")
def panels(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return its panels without the rows."""
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def test_two_runs_write_the_same(money_path: MoneyPath) -> None:
    """The files are stable, so that the check for drift means something."""
    assert generate(money_path) == generate(load(ROOT / "moneypath.yaml"))
    assert generate(money_path)[BOARD_FILE].endswith("}\n")


def test_the_ids_that_alerts_may_link_are_those_of_the_boards(money_path: MoneyPath) -> None:
    """What the declaration may name is what is generated, read from the generated files."""
    boards = [json.loads(text) for name, text in generate(money_path).items() if name.endswith(".json")]
    assert tuple(board["uid"] for board in boards) == board_ids(money_path)


def test_ids_and_query_names_are_assigned(document: dict[str, Any], panels: list[dict[str, Any]]) -> None:
    """Each panel has an id, each query a name in its panel; Grafana's builders set neither."""
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(isinstance(each, int) and each >= 100 for each in ids)
    for panel in panels:
        names = [target["refId"] for target in panel["targets"]]
        assert names == list("ABCDEFGH"[: len(names)])
        assert len(names) >= 1
    assert document["uid"] == "money-path"
    assert document["title"] == "Money path"


def test_panels_neither_overlap_nor_leave_the_grid(document: dict[str, Any]) -> None:
    """Grafana would push overlapping panels about, differently on each screen."""
    places = [panel["gridPos"] for panel in document["panels"]]
    for place in places:
        assert place["x"] + place["w"] <= GRID_COLUMNS
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_every_line_of_panels_is_full(document: dict[str, Any]) -> None:
    """No ragged edges: what stands at one height fills the width."""
    widths: dict[int, int] = {}
    for panel in document["panels"]:
        widths[panel["gridPos"]["y"]] = widths.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
    assert set(widths.values()) == {GRID_COLUMNS}


def test_the_json_asks_what_the_board_asks(board: Board, panels: list[dict[str, Any]]) -> None:
    """What is proven is what Grafana will ask, instant or over a range."""
    written = [(target["expr"], target["instant"]) for panel in panels for target in panel["targets"]]
    assert written == [(query.expr, query.instant) for panel in board.panels() for query in panel.queries]


def test_every_panel_says_what_it_means(board: Board) -> None:
    """A title alone helps nobody at night; a text that is too long helps nobody either."""
    for panel in board.panels():
        assert 60 <= len(panel.description) <= 420, panel.title
        assert panel.description.endswith("."), panel.title
        assert "\n" not in panel.description
        if any(query.empty_when for query in panel.queries) and panel.kind is not PanelKind.TIMESERIES:
            assert panel.no_value, panel.title


def test_every_alert_has_a_panel_that_links_its_runbook(
    board: Board, panels: list[dict[str, Any]], money_path: MoneyPath
) -> None:
    """Whoever is paged finds the panel and from it the page; no panel speaks of an unknown alert."""
    alerts = {
        alert.name: alert
        for alert in rule_groups.alerts(rule_groups.build(money_path))
        if alert.name != watchdog_name(money_path)
    }
    watched = {alert for panel in board.panels() for alert in panel.alerts}
    assert set(alerts) <= watched
    assert watched <= set(alerts)
    for panel, written in zip(board.panels(), panels, strict=True):
        addresses = {link["url"] for link in written["links"]}
        assert addresses == {
            alerts[name].annotations["runbook_url"] for name in panel.alerts if name in alerts
        }
        for address in addresses:
            assert (ROOT / "runbooks" / address.rpartition("/")[2]).is_file()


def _steps(document: dict[str, Any], title: str) -> list[Any]:
    (panel,) = (each for each in document["panels"] if each["title"] == title)
    return [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]


def test_colours_turn_where_the_page_is_sent(document: dict[str, Any], tmp_path: Path) -> None:
    """The threshold of the rule is the threshold of the panel, and follows the declaration."""
    assert _steps(document, "Bad authorizations by provider") == [None, 0.5]
    declared = (ROOT / "moneypath.yaml").read_text(encoding="utf-8")
    changed = tmp_path / "moneypath.yaml"
    changed.write_text(
        declared.replace('bad_share: "0.5"', 'bad_share: "0.4"').replace(
            "stale_after_seconds: 480", "stale_after_seconds: 300"
        ),
        encoding="utf-8",
    )
    again = json.loads(generate(load(changed))[BOARD_FILE])
    assert _steps(again, "Bad authorizations by provider") == [None, 0.4]
    assert _steps(document, "Age of the last good check")[1] > _steps(again, "Age of the last good check")[1]


def test_a_new_currency_and_provider_are_on_the_board(tmp_path: Path) -> None:
    """Nothing on the board knows the reference path's currencies by heart."""
    declared = (ROOT / "moneypath.yaml").read_text(encoding="utf-8")
    changed = tmp_path / "moneypath.yaml"
    text = declared.replace("  KWD: 3\n", "  KWD: 3\n  CHF: 2\n", 1).replace("KWD: 35}", "KWD: 35, CHF: 9}")
    text = text.replace("KWD: 50}", "KWD: 50, CHF: 9}").replace('KWD: "3.01"}', 'KWD: "3.01", CHF: "1.05"}')
    changed.write_text(text, encoding="utf-8")
    board = money_path_board(load(changed))
    (panel,) = (each for each in board.panels() if each.title == "Money at risk")
    assert 'currency="CHF"' in panel.queries[-1].expr
    assert panel.queries[-1].expr.endswith("/ 100")
    assert panel.overrides["CHF"].unit == "suffix:CHF"
    assert panel.overrides["KWD"].decimals == 3


def test_the_provisioning_finds_the_board(money_path: MoneyPath) -> None:
    """Nothing is editable by hand, and rates are wide enough for the scrapes of production."""
    files = generate(money_path)
    (provider,) = yaml.safe_load(files[f"dashboards/{PROVIDERS_FILE}"])["providers"]
    assert provider["options"]["path"] == BOARDS_FOLDER
    assert provider["allowUiUpdates"] is False
    (source,) = yaml.safe_load(files[f"dashboards/{DATA_SOURCES_FILE}"])["datasources"]
    assert source["jsonData"]["timeInterval"] == "5s"
    assert source["url"] == "${MONEYPATH_PROMETHEUS_URL}"
