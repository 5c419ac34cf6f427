"""Ten lines yield rules, tests, routes and a board that hold; so does each section that is added."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from moneypath.alerting import analysis, rule_groups
from moneypath.alerting.analysis import selectors
from moneypath.dashboards.board import money_path_board
from moneypath.dashboards.queries import TimeRange, queries
from moneypath.path.exported import exported
from moneypath.path.model import MoneyPath
from moneypath.telemetry.catalogue import Catalogue
from moneypath.workflows import generate

from .conftest import RunTool
from .small_declarations import SECTIONS, TEN_LINES, parsed, text_with, without_providers

# The tests of the ten lines' objectives take a minute; a section changes names, links and labels at most.
OF_TEN_LINES = (
    "AuthorizationHardDown.test.yml",
    "AuthorizationBudgetBurn.fast.test.yml",
    "AuthorizationLatencyBurn.fast.test.yml",
)


def project_of(folder: Path, text: str) -> MoneyPath:
    """Generate everything from the declaration `text` in `folder`, and return what it declares."""
    folder.mkdir(exist_ok=True)
    (folder / "moneypath.yaml").write_text(text, encoding="utf-8")
    path = parsed(text)
    generate.write(folder)
    assert generate.drifted(folder) == []
    return path


def require_sound_rules(alerts: Path, promtool: RunTool, amtool: RunTool, known: Iterable[str] = ()) -> None:
    """Let promtool and amtool judge what was generated; tests whose names end like `known` passed before."""
    rules = alerts / "rules" / "moneypath.rules.yml"
    checked = promtool("check", "rules", "--lint-fatal", rules, cwd=alerts)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    routed = amtool("check-config", "alertmanager.yml", cwd=alerts)
    assert routed.returncode == 0, routed.stdout + routed.stderr
    files = sorted(file.name for file in (alerts / "tests").iterdir() if not file.name.endswith(tuple(known)))
    if files:
        tested = promtool("test", "rules", *files, cwd=alerts / "tests")
        assert tested.returncode == 0, tested.stdout + tested.stderr


def require_routes(path: MoneyPath, alerts: Path, amtool: RunTool) -> None:
    """Every alert reaches each of its roles, and the heartbeat its receiver."""
    for alert in rule_groups.alerts(rule_groups.build(path)):
        pairs = [f"alertname={alert.name}", *(f"{key}={value}" for key, value in alert.labels.items())]
        chosen = amtool("config", "routes", "test", "--config.file=alertmanager.yml", *pairs, cwd=alerts)
        is_heartbeat = alert.labels["severity"] == "none"
        expected = ["watchdog"] if is_heartbeat else [f"role-{role}" for role in alert.source.roles]
        assert sorted(chosen.stdout.strip().split(",")) == sorted(expected), alert.name


def require_board(path: MoneyPath) -> None:
    """Every query reads what some service exports or some rule records, and every section has a panel."""
    groups = rule_groups.build(path)
    known = analysis.known_series(path, groups)
    samples = {sample: spec.name for spec in path.catalogue() for sample in spec.sample_names}
    board = money_path_board(path)
    assert board.rows
    for asked in queries(board, TimeRange()):
        for series, matchers in selectors(asked.expr):
            assert series in known, asked.where
            assert samples.get(series, "") in {"", *exported(path)}, asked.where
            assert {matcher.name for matcher in matchers} <= set(known[series]), asked.where
    shown = {alert for panel in board.panels() for alert in panel.alerts}
    slo_alerts = {rule.name for rule in rule_groups.alerts(groups) if rule.source.kind == "slo"}
    paged_by = {
        alert for slo in path.slos for alert in slo_alerts if slo.burn or slo in path.availability_slos()
    }
    assert paged_by <= shown


def test_the_declaration_is_ten_lines() -> None:
    """As it is printed; a roles section, a provider, a target and two objectives are in them."""
    assert len(TEN_LINES.splitlines()) == 10


@pytest.mark.heavy
def test_ten_lines_yield_what_holds(tmp_path: Path, promtool: RunTool, amtool: RunTool) -> None:
    """Rules, their tests, routes, a board, and the catalogue that the service loads."""
    path = project_of(tmp_path, TEN_LINES)
    require_sound_rules(tmp_path / "alerts", promtool, amtool)
    require_routes(path, tmp_path / "alerts", amtool)
    require_board(path)
    catalogue = Catalogue.load(tmp_path / "catalogue.json")
    assert catalogue["moneypath_payments_total"].labels["provider"] == ("north", "none")
    assert 1.0 in catalogue["moneypath_payment_duration_seconds"].buckets
    assert not (tmp_path / "costs.json").exists()
    assert not (tmp_path / "compose").exists()


@pytest.mark.heavy
def test_a_service_without_a_provider_has_them_too(
    tmp_path: Path, promtool: RunTool, amtool: RunTool
) -> None:
    """All payments count together, and nothing speaks of a provider to drain."""
    path = project_of(tmp_path, without_providers())
    require_sound_rules(tmp_path / "alerts", promtool, amtool)
    require_routes(path, tmp_path / "alerts", amtool)
    require_board(path)
    rules = (tmp_path / "alerts" / "rules" / "moneypath.rules.yml").read_text(encoding="utf-8")
    assert "drain" not in rules
    assert "moneypath_provider_routing_active" not in rules


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_is_added_by_itself(
    section: str, tmp_path: Path, promtool: RunTool, amtool: RunTool
) -> None:
    """Rules, routes and board stand with what it adds; the generated tests are run by `make prove`."""
    path = project_of(tmp_path, text_with(section))
    alerts = tmp_path / path.outputs.alerts
    require_sound_rules(alerts, promtool, amtool, (".yml",))
    require_routes(path, alerts, amtool)
    require_board(path)


@pytest.mark.proof
@pytest.mark.parametrize("section", SECTIONS)
def test_what_each_section_adds_is_tested(
    section: str, tmp_path: Path, promtool: RunTool, amtool: RunTool
) -> None:
    """The tests that are generated for it pass, and those of the ten lines stand."""
    path = project_of(tmp_path, text_with(section))
    require_sound_rules(tmp_path / path.outputs.alerts, promtool, amtool, OF_TEN_LINES)


def test_all_sections_go_together(tmp_path: Path, amtool: RunTool, promtool: RunTool) -> None:
    """One declaration has them all: the generator has no pair of sections that excludes another."""
    apart = {"whole path", "currencies", "costs", "providers", "reporting_currency"}
    path = project_of(tmp_path, text_with(*(name for name in SECTIONS if name not in apart)))
    alerts = tmp_path / path.outputs.alerts
    checked = promtool("check", "rules", "--lint-fatal", alerts / "rules" / "moneypath.rules.yml", cwd=alerts)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    require_board(path)
    assert all(name.startswith("Acme") for name in board_alerts(path))


def board_alerts(path: MoneyPath) -> set[str]:
    """Return the names of all alerts, those on the board included."""
    board = money_path_board(path)
    names = {alert for panel in board.panels() for alert in panel.alerts}
    return names | {rule.name for rule in rule_groups.alerts(rule_groups.build(path))}
