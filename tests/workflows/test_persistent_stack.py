"""A drill and the stack that another process keeps up have to fit each other."""

from pathlib import Path

import pytest

from moneypath.stack.endpoints import Endpoints
from moneypath.stack.errors import StackError
from moneypath.workflows.drill import DrillMismatch
from moneypath.workflows.persistent_stack import run_drill_on_stack

PROJECT = Path(__file__).parents[2]
NOBODY = "http://127.0.0.1:1"


def _endpoints(folder: Path, scale: int) -> Endpoints:
    return Endpoints(
        target="reference",
        service=NOBODY, worker=NOBODY, prometheus=NOBODY, alertmanager=NOBODY, pager=NOBODY,
        providers={"north": NOBODY}, oracle_dsn="", secrets_folder=folder, run_folder=folder, scale=scale,
    )  # fmt: skip


async def test_a_drill_at_another_scale_is_refused_at_once(tmp_path: Path) -> None:
    """The sentence names both scales and the command that fits; nothing is sent to the stack."""
    _endpoints(tmp_path, 1).save()
    drill = PROJECT / "drills" / "drill-002-partial-provider-outage.yaml"
    with pytest.raises(DrillMismatch, match=r"clock.scale is 60, the stack runs at 1") as caught:
        await run_drill_on_stack(PROJECT, drill, tmp_path, lambda _: None)
    assert "--scale 60" in caught.value.hint


@pytest.mark.parametrize("scale", ['"60"', "true", "6.5", "null"])
def test_a_scale_that_is_no_whole_number_is_refused(tmp_path: Path, scale: str) -> None:
    """Hand-edited addresses do not get as far as a drill."""
    text = _endpoints(tmp_path, 60).to_json().replace('"scale": 60', f'"scale": {scale}')
    with pytest.raises(StackError, match="scale must be a whole number"):
        Endpoints.from_json(text)
