"""Panic tries everything, whatever fails on the way, and says what was not undone."""

from pathlib import Path

import pytest

from moneypath.stack.endpoints import Endpoints
from moneypath.stack.ports import PortPool
from moneypath.workflows.persistent_stack import panic

PROJECT = Path(__file__).parents[2]


async def test_what_does_not_answer_does_not_keep_panic_from_the_rest(tmp_path: Path) -> None:
    """With nobody at home, each provider's faults and each provider's routing were still asked for."""
    with PortPool({}) as ports:
        nobody = f"http://127.0.0.1:{ports.reserve('nobody')}"
        for name in ("north_control_token", "south_control_token"):
            (tmp_path / name).write_text("token")
            (tmp_path / name).chmod(0o600)
        Endpoints(
            target="reference",
            service=nobody, worker=nobody, prometheus=nobody, alertmanager=nobody, pager=nobody,
            providers={"north": nobody, "south": nobody}, oracle_dsn="",
            secrets_folder=tmp_path, run_folder=tmp_path, scale=60,
        ).save()  # fmt: skip
        told: list[str] = []
        with pytest.raises(ExceptionGroup) as caught:
            await panic(PROJECT, tmp_path, told.append)
    said = [str(error) for error in caught.value.exceptions]
    assert told == []
    assert len([text for text in said if "/control/faults" in text]) == 2
    assert len(said) == 4
