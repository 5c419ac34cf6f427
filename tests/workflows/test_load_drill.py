"""A drill that could never pass is refused before anything is started."""

from pathlib import Path

import pytest

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
