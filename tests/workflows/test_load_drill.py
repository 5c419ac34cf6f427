"""A drill that could never pass is refused before anything is started."""

from pathlib import Path

import pytest

from moneypath.path.guards import AgeGuard
from moneypath.path.loader import load
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


@pytest.mark.parametrize("file", sorted((PROJECT / "drills").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_drill_of_the_house_fits_it(file: Path) -> None:
    """Its alerts, roles and providers are declared, and its runbook names it as its proof."""
    drill = load_drill(PROJECT, file, load(PROJECT / "moneypath.yaml"))
    assert file.stem in drill.runbook.front.drills


def test_the_settlement_drill_asks_for_the_lag_that_the_alert_allows() -> None:
    """In real seconds: a value that is measured is not dilated, unlike the drill's durations."""
    path = load(PROJECT / "moneypath.yaml")
    (guard,) = (one for one in path.guards if one.id == "reconciliation_lag")
    assert isinstance(guard, AgeGuard)
    scenario = load_drill(PROJECT, PROJECT / "drills" / "drill-012-settlement-mismatch.yaml", path).scenario
    (lag,) = (one for one in scenario.steady_state if "reconciliation_lag" in one.query)
    assert str(lag.expectation) == f"< {guard.older_than_seconds / scenario.clock.scale:g}"
