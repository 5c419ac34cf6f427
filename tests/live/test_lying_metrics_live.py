"""A build whose recorder lies fails a real drill, by the metrics alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.live.conftest import MakeViewer

from moneypath.workflows.drill_stack import drill_on_own_stack
from refstack.live_stack import REFERENCE

LIE = "metrics lie: payments live authorize failed or shed: "


@pytest.mark.proof
async def test_a_recorder_that_drops_failed_payments_fails_the_drill(
    project: Path, tmp_path: Path, make_observer: MakeViewer
) -> None:
    """Everything else passes: alerts, pages, runbook, repair and ledger are as they should be."""
    build = replace(REFERENCE.build, api="loadtests.badbuilds.drops_failed_payments", folder=project)
    file = project / "drills" / "drill-002-partial-provider-outage.yaml"
    result = await drill_on_own_stack(
        project, file, tmp_path, make_observer(), starter=REFERENCE, build=build
    )
    assert [failure for failure in result.card.failures if failure.startswith(LIE)], result.card.failures
    assert not [failure for failure in result.card.failures if not failure.startswith("metrics lie: ")]
