"""A drill that could never pass is refused before anything is started."""

import re
from pathlib import Path

import pytest

from moneypath.path.guards import AgeGuard
from moneypath.path.loader import load
from moneypath.path.problems import DeclarationInvalid
from moneypath.workflows.drill import DrillMismatch, load_drill

PROJECT = Path(__file__).parents[2]
DRILL = PROJECT / "drills" / "drill-002-partial-provider-outage.yaml"


@pytest.mark.parametrize(
    "spoil", [("target: north", "target: mars"), ("{provider: north}", "{provider: mars}")]
)
def test_a_provider_that_nobody_declares_is_refused(tmp_path: Path, spoil: tuple[str, str]) -> None:
    """Be it the fault's target or the label of an alert that is waited for."""
    file = tmp_path / "drill-900-broken.yaml"
    text = DRILL.read_text(encoding="utf-8")
    assert spoil[0] in text
    file.write_text(text.replace(*spoil), encoding="utf-8")
    with pytest.raises(DrillMismatch, match="unknown provider: mars"):
        load_drill(PROJECT, file, load(PROJECT / "moneypath.yaml"))


SPOILED = {
    "an objective that nobody declares": (
        "harmed_objectives: [authorization-availability, ",
        "harmed_objectives: [authorization-succes, ",
        "unknown objective: authorization-succes",
    ),
    "a page that the alert does not send": (
        "    - {alert: MoneyPathAuthorizationBudgetBurn, role: eng, within: 10m, ack: 5m}\n",
        "    - {alert: MoneyPathAuthorizationBudgetBurn, role: eng, within: 10m, ack: 5m}\n"
        "    - {alert: MoneyPathAuthorizationBudgetBurn, role: compliance, within: 10m, ack: 5m}\n",
        "MoneyPathAuthorizationBudgetBurn to compliance, eng, ops; it pages eng, ops",
    ),
    "an allowed alert that nobody raises": (
        "{name: MoneyPathIndeterminateUnresolved, labels",
        "{name: MoneyPathIndeterminate, labels",
        "unknown alert: MoneyPathIndeterminate",
    ),
    "a fault that no target has": (
        "fault: provider.refuse",
        "fault: provider.explode",
        "unknown fault: provider.explode",
    ),
    "an allowed page to nobody": ("pages: [ops, eng]}", "pages: [ops, boss]}", "unknown role: boss"),
    "evidence that nobody counts": (
        "query: 'sum(moneypath_payments_total{",
        "query: 'sum(moneypath_paiments_total{",
        "unknown series in customers-are-served: moneypath_paiments_total",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_drill_that_expects_what_cannot_come_is_refused(tmp_path: Path, name: str) -> None:
    """One sentence names the file, what is wrong and what there is."""
    old, new, words = SPOILED[name]
    text = DRILL.read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "drill-900-broken.yaml"
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DrillMismatch, match=re.escape(words)) as caught:
        load_drill(PROJECT, file, load(PROJECT / "moneypath.yaml"))
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("file", sorted((PROJECT / "drills").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_drill_of_the_house_fits_it(file: Path) -> None:
    """Its alerts, roles and providers are declared, and its runbook names it as its proof."""
    drill = load_drill(PROJECT, file, load(PROJECT / "moneypath.yaml"))
    assert file.stem in drill.runbook.front.drills


@pytest.mark.parametrize("key", ["steady_state", "abort_if", "harm"])
def test_promql_that_does_not_parse_is_refused_before_anything_starts(tmp_path: Path, key: str) -> None:
    """The sentence names the drill's file, the line and the key, and not a runbook."""
    lines = DRILL.read_text(encoding="utf-8").splitlines()
    start = next(n for n, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
    number = next(n for n in range(start, len(lines)) if "query:" in lines[n])
    lines[number] = re.sub("query:.*", "query: sum by (", lines[number])
    file = tmp_path / "drill-900-broken.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DeclarationInvalid, match="is not valid PromQL") as caught:
        load_drill(PROJECT, file, load(PROJECT / "moneypath.yaml"))
    assert f"{file}:{number + 1}: " in str(caught.value)
    assert "query" in str(caught.value)
    assert "runbook" not in str(caught.value)


def test_a_series_that_nobody_writes_is_refused(tmp_path: Path) -> None:
    """A query of an objective that was renamed would never find anything."""
    file = tmp_path / "drill-900-broken.yaml"
    text = DRILL.read_text(encoding="utf-8")
    assert "moneypath_ledger_unbalanced_entries" in text
    file.write_text(
        text.replace("moneypath_ledger_unbalanced_entries", "moneypath_no_such"), encoding="utf-8"
    )
    with pytest.raises(DrillMismatch, match=r"unknown series in .*: moneypath_no_such"):
        load_drill(PROJECT, file, load(PROJECT / "moneypath.yaml"))


def test_the_settlement_drill_asks_for_the_lag_that_the_alert_allows() -> None:
    """In real seconds: a value that is measured is not dilated, unlike the drill's durations."""
    path = load(PROJECT / "moneypath.yaml")
    (guard,) = (one for one in path.guards if one.id == "reconciliation_lag")
    assert isinstance(guard, AgeGuard)
    scenario = load_drill(PROJECT, PROJECT / "drills" / "drill-012-settlement-mismatch.yaml", path).scenario
    (lag,) = (one for one in scenario.steady_state if "reconciliation_lag" in one.query)
    assert str(lag.expectation) == f"< {guard.older_than_seconds / scenario.clock.scale:g}"
