"""A comparison that cannot be made is no verdict on the build, and never one in silence."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from moneypath.capacity.errors import GateRefused, GateUnmeasured
from moneypath.capacity.fingerprint import machine_fingerprint
from moneypath.capacity.gate_file import load_gate
from moneypath.capacity.permutation import WindowMeasures
from moneypath.capacity.recorded_windows import RecordedWindows, describe_plan
from moneypath.capacity.short_windows import LATENCY
from moneypath.path.loader import FILE_NAME, load
from moneypath.stack.errors import ServerNotReady
from moneypath.stack.starters import LiveStack
from moneypath.workflows.comparison import ShortWindows
from moneypath.workflows.gate import GATE_FILE, prepare
from moneypath.workflows.revision import Revision
from refstack.live_stack import REFERENCE, ReferenceStarter

PROJECT = Path(__file__).parents[2]
PATH = load(PROJECT / FILE_NAME)
GATE = load_gate(PROJECT / GATE_FILE, PATH)[0]


def _live(folder: Path) -> LiveStack:
    return cast("LiveStack", SimpleNamespace(endpoints=SimpleNamespace(run_folder=folder)))


@pytest.mark.parametrize("grouped", [True, False])
async def test_a_baseline_that_does_not_start_is_not_the_builds_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grouped: bool
) -> None:
    """Its servers have the same names as those of the build; a task group wraps what they raise."""
    ended = ServerNotReady("refpay-api", 30, "no answer", ())

    class NeverReady(AbstractAsyncContextManager[LiveStack]):
        async def __aenter__(self) -> LiveStack:
            raise ExceptionGroup("start", [ended]) if grouped else ended

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError

    class NeverStarts(ReferenceStarter):
        def running(self, *_: object) -> AbstractAsyncContextManager[LiveStack]:
            return NeverReady()

    monkeypatch.setattr(Revision, "export", lambda *_: REFERENCE.build)
    windows = ShortWindows(PROJECT, PATH, GATE, lambda _: None, NeverStarts())
    with pytest.raises(GateUnmeasured, match=r"the baseline v1 \(abc\)") as unmeasured:
        await windows.compare(_live(tmp_path), Revision(PROJECT, "v1", "abc", REFERENCE.build))
    assert unmeasured.value.exit_code == 3


@pytest.mark.parametrize(
    ("changed", "window", "said"),
    [
        ({}, {LATENCY: 1.0}, ""),
        ({"kernel": "another"}, {LATENCY: 1.0}, "another machine: kernel"),
        ({}, {LATENCY: 1.0, "cost": 1.0}, "other measures: cost"),
        ({}, {"cost": 1.0}, "other measures: cost, latency_median"),
    ],
)
async def test_recorded_windows_of_another_machine_or_of_other_measures_are_not_compared(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, str],
    window: WindowMeasures,
    said: str,
) -> None:
    """Whatever they would show; on an equal machine, with equal measures, they are."""
    measured: tuple[WindowMeasures, ...] = tuple({LATENCY: 2.0 + each} for each in range(12))
    machine = {**machine_fingerprint(), **changed}
    recorded = RecordedWindows("v1", machine, describe_plan(GATE), (window,) * 12)

    async def record(*_: Any) -> tuple[tuple[WindowMeasures, ...], None]:
        return measured, None

    monkeypatch.setattr(ShortWindows, "record", record)
    windows = ShortWindows(PROJECT, PATH, GATE, lambda _: None, REFERENCE)
    found, _ = await windows.compare(_live(tmp_path), recorded)
    assert found.baseline == "v1"
    assert said in found.unusable
    assert bool(found.unusable) is bool(said)
    assert bool(found.differences) is not bool(said)


def test_a_baseline_is_found_before_anything_starts(tmp_path: Path) -> None:
    """A file is read, any other name is a revision."""
    file = tmp_path / "windows.json"
    RecordedWindows("v1", {}, {}, ({"cost": 1.0},)).write(file)
    prepared = prepare(PROJECT, PROJECT / GATE_FILE, REFERENCE, baseline=str(file))
    assert isinstance(prepared.baseline, RecordedWindows)
    assert prepare(PROJECT, PROJECT / GATE_FILE, REFERENCE).baseline is None
    with pytest.raises(GateRefused, match="there is no revision no-such-revision"):
        prepare(PROJECT, PROJECT / GATE_FILE, REFERENCE, baseline="no-such-revision")
