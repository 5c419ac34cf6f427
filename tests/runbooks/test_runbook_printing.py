"""A printed runbook: wrapped once, with queries that can be copied."""

from pathlib import Path

import pytest

from moneypath.runbooks import Runbook, load, render

RUNBOOKS = sorted((Path(__file__).parents[2] / "runbooks").glob("*.md"))


@pytest.fixture(params=RUNBOOKS, ids=[file.stem for file in RUNBOOKS])
def runbook(request: pytest.FixtureRequest) -> Runbook:
    """One of the repository's runbooks."""
    file: Path = request.param
    return load(file)


@pytest.mark.parametrize("columns", [40, 80, 100])
def test_no_query_and_no_action_is_broken(runbook: Runbook, columns: int) -> None:
    """What has to be copied stands on one line, however narrow the terminal is."""
    lines = render(runbook, columns).splitlines()
    for step in runbook.steps:
        instruction = " ".join(" ".join(step.instruction).split())
        assert any(instruction in line for line in lines), instruction


def test_prose_is_wrapped_to_the_columns_and_only_once(runbook: Runbook) -> None:
    """Only a line with a query or an action is wider than the terminal."""
    instructions = {" ".join(" ".join(step.instruction).split()) for step in runbook.steps}
    for line in render(runbook, 80).splitlines():
        assert len(line) <= 80 or any(instruction in line for instruction in instructions), line
