"""The money of a target is whole only when its witnesses compared something of this run, and agreed."""

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from tests.target.drilled import drilled_target
from tests.target.stranger import write_witnesses

from moneypath.drills import target_witnesses
from moneypath.drills.target_witnesses import MoneyFound, TargetWitnesses
from moneypath.path.source import DeclarationInvalid
from moneypath.witnesses.errors import WitnessInvalid

BEGAN, ENDED = 10_000.0, 10_100.0
DRAIN = 45.0


class Clock:
    """A clock that stands still, except while somebody waits."""

    def __init__(self) -> None:
        self.at = ENDED
        self.waited: list[float] = []

    def now(self) -> float:
        """Return the time."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Move on."""
        self.at += seconds
        self.waited.append(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put a clock of its own in the place of time."""
    clock = Clock()
    monkeypatch.setattr(target_witnesses, "time", SimpleNamespace(time=clock.now, monotonic=clock.now))
    fake = SimpleNamespace(sleep=clock.sleep, to_thread=asyncio.to_thread)
    monkeypatch.setattr(target_witnesses, "asyncio", fake)
    return clock


async def settle(folder: Path, answers: Path | None = None, **changes: Any) -> MoneyFound | None:
    """Return what the witnesses of the wallet come to."""
    witnesses = TargetWitnesses(drilled_target(folder, **changes), DRAIN)
    await witnesses.load()
    return await witnesses.settle(BEGAN, answers or folder / "answers.jsonl")


async def test_witnesses_that_agree_are_whole(tmp_path: Path, clock: Clock) -> None:
    """At once, with what was compared and what nobody can know."""
    write_witnesses(tmp_path, at=BEGAN + 50)
    found = await settle(tmp_path)
    assert found is not None
    assert (found.whole, found.reasons, found.seconds) == (True, (), 0.0)
    assert found.summary == "wallet: rows 1 rows, bank 1 rows, told 1 rows"
    assert found.totals == (("capture", "EUR", 100, 100, 100),)
    assert found.cannot_know
    assert clock.waited == []


@pytest.mark.parametrize("changed", [{"booked": 101}, {"told": 99}])
async def test_witnesses_that_differ_are_not_whole(tmp_path: Path, clock: Clock, changed: Any) -> None:
    """After the whole drain, since what is under way may settle still."""
    write_witnesses(tmp_path, at=BEGAN + 50, **changed)
    found = await settle(tmp_path)
    assert found is not None
    assert not found.whole
    assert found.reasons
    assert all(reason.startswith("wallet: ") for reason in found.reasons)
    assert sum(clock.waited) > DRAIN


async def test_what_settles_within_the_drain_is_whole(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bank books a little later than the wallet answers."""
    write_witnesses(tmp_path, at=BEGAN + 50)
    bank, late = tmp_path / "bank.jsonl", (tmp_path / "bank.jsonl").read_text()
    bank.write_text("")

    async def sleep(seconds: float) -> None:
        bank.write_text(late)
        clock.at += seconds

    fake = SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread)
    monkeypatch.setattr(target_witnesses, "asyncio", fake)
    found = await settle(tmp_path)
    assert found is not None
    assert (found.whole, found.seconds) == (True, target_witnesses.EVERY_SECONDS)


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(BEGAN - 10, id="of a run a moment ago"),
        pytest.param(BEGAN - 5_000, id="of a run long ago"),
        pytest.param(ENDED + 10, id="of a clock that is ahead"),
        pytest.param(ENDED + 5_000, id="of the future"),
        pytest.param(0.0, id="of no time"),
    ],
)
async def test_rows_of_another_time_prove_nothing(tmp_path: Path, clock: Clock, at: float) -> None:
    """They agree with each other, and nothing of this run was compared.

    Those near the edges are read as counterparts, which was once enough to be whole.
    """
    write_witnesses(tmp_path, at=at)
    found = await settle(tmp_path)
    assert found is not None
    assert not found.whole
    assert found.reasons == tuple(f"wallet: nothing to compare: {one}" for one in ("rows", "bank", "told"))


async def test_answers_of_an_earlier_run_are_not_whole(tmp_path: Path, clock: Clock) -> None:
    """The ledger and the bank moved money in this run, which nobody in the answers file asked for."""
    write_witnesses(tmp_path, at=BEGAN + 50)
    told = tmp_path / "told.jsonl"
    told.write_text(
        json.dumps(json.loads(told.read_text()) | {"at": BEGAN - 10, "idempotency_key": "i0"}) + "\n"
    )
    found = await settle(tmp_path)
    assert found is not None
    assert not found.whole
    assert "wallet: nothing to compare: told" in found.reasons


def placed(folder: Path, file: str) -> None:
    """Let the answers of the witnesses' file stand at another path."""
    document = yaml.safe_load((folder / "witnesses.yaml").read_text())
    document["witnesses"][2]["file"] = file
    (folder / "witnesses.yaml").write_text(yaml.safe_dump(document))


@pytest.mark.parametrize("name", ["{answers_file}", "${answers_file}"])
async def test_answers_are_where_the_load_wrote_them(tmp_path: Path, clock: Clock, name: str) -> None:
    """One that the load never wrote is not whole, and says which file."""
    write_witnesses(tmp_path, at=BEGAN + 50)
    placed(tmp_path, name)
    run = tmp_path / "run" / "answers.jsonl"
    run.parent.mkdir()
    (tmp_path / "told.jsonl").rename(run)
    found = await settle(tmp_path, run)
    assert found is not None
    assert found.whole
    run.unlink()
    found = await settle(tmp_path, run)
    assert found is not None
    assert not found.whole
    assert f"{run} cannot be read" in found.reasons[0]


async def test_a_variable_of_the_target_stands_in_its_witnesses(tmp_path: Path, clock: Clock) -> None:
    """As it does in the target's file."""
    write_witnesses(tmp_path, at=BEGAN + 50)
    placed(tmp_path, "${books}/told.jsonl")
    variables = {"wallet": None, "prometheus": None, "alertmanager": None, "books": str(tmp_path)}
    found = await settle(tmp_path, variables=variables)
    assert found is not None
    assert found.whole


async def test_a_file_that_cannot_be_used_is_refused_before_anything_is_broken(tmp_path: Path) -> None:
    """One that is missing, one that is wrong, and one with a value that nobody has."""
    target = drilled_target(tmp_path)
    with pytest.raises(DeclarationInvalid, match=r"witnesses\.yaml"):
        await TargetWitnesses(target).load()
    write_witnesses(tmp_path)
    placed(tmp_path, "{answer_file}")
    with pytest.raises(WitnessInvalid, match="witness told: there is no value for answer_file") as raised:
        await TargetWitnesses(target).load()
    assert "answers_file" in raised.value.hint
    (tmp_path / "witnesses.yaml").write_text("witnesses: []\n")
    with pytest.raises(DeclarationInvalid, match=r"witnesses\.yaml"):
        await TargetWitnesses(target).load()


async def test_without_witnesses_the_money_is_not_known(tmp_path: Path) -> None:
    """That is neither whole nor broken."""
    assert await settle(tmp_path, witnesses=None) is None


async def test_no_card_number_stands_in_the_reasons(tmp_path: Path, clock: Clock) -> None:
    """A reference that is one is masked before it is evidence."""
    write_witnesses(tmp_path, at=BEGAN + 50, booked=101)
    for name in ("rows", "bank", "told"):
        file = tmp_path / f"{name}.jsonl"
        file.write_text(file.read_text().replace('"r1"', '"4111111111111111"'))
    found = await settle(tmp_path)
    assert found is not None
    assert found.reasons
    assert "4111111111111111" not in " ".join(found.reasons)


async def test_time_is_read_from_the_machine_unless_a_test_says_otherwise(tmp_path: Path) -> None:
    """The window ends when the load did."""
    write_witnesses(tmp_path, at=time.time() - 1)
    witnesses = TargetWitnesses(drilled_target(tmp_path), DRAIN)
    await witnesses.load()
    found = await witnesses.settle(time.time() - 60, tmp_path / "answers.jsonl")
    assert found is not None
    assert found.whole
