"""Short windows: the turns of two builds, what a turn measures, and windows that were recorded."""

import itertools
import json
from pathlib import Path

import pytest

from moneypath.capacity.errors import GateRefused
from moneypath.capacity.fingerprint import machine_fingerprint
from moneypath.capacity.gate_file import Gate
from moneypath.capacity.recorded_windows import RecordedWindows, describe_plan
from moneypath.capacity.resources import ResourceSample
from moneypath.capacity.short_windows import ShortWindow, WindowEvidence, plan_turns, window_measures
from moneypath.prometheus import Series

from .changed_figures import one_request


def test_turns_follow_each_other_and_drift_meets_both_builds_alike() -> None:
    """ABBA: the mean instant of the one is the mean instant of the other."""
    build, baseline = plan_turns(100.0, windows=4, seconds=9.0, alone=False)
    assert len(build) == len(baseline) == 4
    every = sorted((*build, *baseline), key=lambda turn: turn.begin)
    assert every[0].begin == 100.0
    assert all(earlier.end == later.begin for earlier, later in itertools.pairwise(every))
    assert sum(turn.begin for turn in build) == sum(turn.begin for turn in baseline)
    assert all(turn.begin < turn.due[1] < turn.end for turn in every)


def test_a_build_alone_has_every_turn() -> None:
    """For windows that are recorded."""
    build, baseline = plan_turns(0.0, windows=3, seconds=5.0, alone=True)
    assert [turn.begin for turn in build] == [0.0, 5.0, 10.0]
    assert baseline == []


TURN = ShortWindow(100.0, 110.0)


def _evidence() -> WindowEvidence:
    samples = [ResourceSample(90.0 + at, 0, at * 0.5, at * 1000) for at in range(30)]
    cost = Series(
        {"component": "provider_fee"}, [(99.0, 50.0), (105.0, 80.0), (109.5, 150.0), (115.0, 999.0)]
    )
    return WindowEvidence([one_request(100.0 + at / 10) for at in range(-50, 150)], samples, [cost])


def test_a_turn_measures_what_was_due_in_it() -> None:
    """Processor time and bytes for each checkout between its samples, cost over the tariff."""
    found = window_measures(_evidence(), TURN, 200.0)
    assert found is not None
    assert found == pytest.approx(
        {
            "latency_median": 0.04,
            "latency_p95": 0.04,
            "processor_time": 5.0 / 100,
            "bytes_written": 10_000 / 100,
            "cost": 0.5,
        }
    )


@pytest.mark.parametrize(
    "evidence",
    [
        WindowEvidence([], _evidence().samples, _evidence().cost),
        WindowEvidence(_evidence().requests, _evidence().samples[:11], _evidence().cost),
        WindowEvidence(_evidence().requests, _evidence().samples, []),
    ],
)
def test_a_turn_of_which_something_is_missing_is_none(evidence: WindowEvidence) -> None:
    """It is not a window with a 0 in it."""
    assert window_measures(evidence, TURN, 200.0) is None
    assert window_measures(_evidence(), TURN, 0.0) is None


RECORDED = RecordedWindows("refpay.app", {"kernel": "6"}, {"window": "9"}, ({"cost": 0.9}, {"cost": 1.0}))


def test_what_was_recorded_is_read_again(tmp_path: Path) -> None:
    """Whole."""
    file = tmp_path / "windows.json"
    RECORDED.write(file)
    assert RecordedWindows.read(file) == RECORDED


def test_windows_count_on_an_equal_machine_and_plan_alone(gate: Gate) -> None:
    """What differs is named."""
    machine, plan = RECORDED.machine, RECORDED.plan
    assert RECORDED.unusable_here(machine, plan) == ""
    assert "another machine: kernel" in RECORDED.unusable_here({"kernel": "7"}, plan)
    assert "another machine: memory" in RECORDED.unusable_here({**machine, "memory": "1"}, plan)
    assert "another plan: window" in RECORDED.unusable_here(machine, {"window": "8"})
    here = RecordedWindows("b", machine_fingerprint(), describe_plan(gate), ())
    assert here.unusable_here(machine_fingerprint(), describe_plan(gate)) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "has format 2, allowed: 1"),
        ({"windows": [{"cost": 0}]}, "is damaged"),
        ({"windows": [{"cost": "x"}]}, "is damaged"),
        ({"windows": [{}]}, "is damaged"),
        ({"windows": [{"cost": 1}, {"latency_median": 1}]}, "is damaged"),
        ({"windows": 5}, "is damaged"),
        ({"machine": []}, "is damaged"),
        ({"more": 1}, "is damaged"),
    ],
)
def test_a_file_that_holds_no_windows_is_refused(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    """By its name, as bad input."""
    file = tmp_path / "windows.json"
    RECORDED.write(file)
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(GateRefused, match=words) as refused:
        RecordedWindows.read(file)
    assert "windows.json" in refused.value.what
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(("text", "words"), [("{", "is not JSON"), ("[]", "holds no recorded windows")])
def test_any_other_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """Whatever it is."""
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(GateRefused, match=words):
        RecordedWindows.read(file)
    with pytest.raises(GateRefused, match="cannot be read"):
        RecordedWindows.read(tmp_path / "missing.json")
