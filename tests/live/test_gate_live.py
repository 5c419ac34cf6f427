"""The whole gate on a stack of its own, over a window of seconds: what it measures, and what it finds."""

from dataclasses import replace
from pathlib import Path

import pytest

from moneypath.capacity.gate_file import Gate, Load, Measure
from moneypath.capacity.observation import CriterionStatus
from moneypath.capacity.recorded_windows import RecordedWindows
from moneypath.capacity.verdict import GateOutcome
from moneypath.stack.starters import Build
from moneypath.workflows.gate import GATE_FILE, GateResult, prepare, run_gate
from moneypath.workflows.gate_run import GateObserver
from moneypath.workflows.revision import Revision
from refstack.live_stack import REFERENCE

RATE = 10


def _short(gate: Gate) -> Gate:
    """Return the gate with a small load and a window of seconds; many answers are asked for again."""
    ranges = gate.load.card_ranges
    load = {
        "checkouts_per_second": RATE,
        "users": 20,
        "card_ranges": ranges,
        "resend_ratio": "0.5",
        "approved_ratio": "0.97",
        "seed": 1,
    }
    # What the stack does without any checkout falls on fewer of them.
    idle = gate.load.checkouts_per_second // RATE
    limits = gate.limits.model_copy(
        update={
            "least_postings": 20,
            "processor_microseconds_per_checkout": idle * gate.limits.processor_microseconds_per_checkout,
            "bytes_written_per_checkout": idle * gate.limits.bytes_written_per_checkout,
        }
    )
    changes = {"load": Load.model_validate(load), "limits": limits, "warm_up": 8.0, "duration": 14.0}
    return gate.model_copy(update=changes)


async def _run(project: Path, folder: Path, build: Build | None = None) -> GateResult:
    prepared = prepare(project, project / GATE_FILE, REFERENCE, build)
    prepared = replace(prepared, gate=_short(prepared.gate))
    observer = GateObserver(announce=lambda _: None, measured=lambda _, __: None)
    return await run_gate(project, prepared, folder, observer)


async def test_the_gate_measures_the_good_build_and_finds_nothing(project: Path, tmp_path: Path) -> None:
    """Every required measure is known; on a machine that others use, only speed may be in doubt."""
    result = await _run(project, tmp_path)
    verdict, counted = result.verdict, result.verdict.figures.counted
    assert verdict.outcome is not GateOutcome.FAILED, verdict.summary
    assert not any(result.status is CriterionStatus.UNKNOWN for result in verdict.results)
    assert counted.authorizations is not None
    assert verdict.figures.checkouts == pytest.approx(counted.authorizations.valid, abs=0.3 * RATE * 14)
    assert verdict.figures.audit is not None
    assert not verdict.figures.audit.discrepancies
    assert (result.folder / "verdict.json").exists()


async def test_the_gate_fails_a_build_that_charges_twice_under_retry(project: Path, tmp_path: Path) -> None:
    """The service's own numbers are all fine; the acquirers' books are not."""
    api = "loadtests.badbuilds.charges_twice_under_retry"
    build = replace(REFERENCE.build, api=api, folder=project)
    result = await _run(project, tmp_path, build)
    assert result.verdict.outcome is GateOutcome.FAILED
    assert Measure.ORACLE in {result.measure for result in result.verdict.broken}
    assert result.verdict.figures.audit is not None
    assert result.verdict.figures.audit.discrepancies["reference_charged_twice"] > 0


@pytest.mark.proof
async def test_the_gate_compares_a_build_with_a_revision_of_it(project: Path, tmp_path: Path) -> None:
    """Both are driven in turn and measured, and the answers of every load are audited."""
    prepared = prepare(project, project / GATE_FILE, REFERENCE)
    gate = _short(prepared.gate)
    windows = gate.baseline.model_copy(update={"warm_up": 6.0, "windows": 5, "window": 4.0})
    prepared = replace(
        prepared,
        gate=gate.model_copy(update={"baseline": windows}),
        baseline=Revision(project, "HEAD", "HEAD", REFERENCE.build),
        record=tmp_path / "windows.json",
    )
    observer = GateObserver(announce=lambda _: None, measured=lambda _, __: None)
    result = await run_gate(project, prepared, tmp_path / "run", observer)
    comparison, audit = result.verdict.figures.comparison, result.verdict.figures.audit
    assert comparison is not None
    assert len(comparison.build_windows) == len(comparison.baseline_windows) == 5
    assert {each.measure for each in comparison.differences} == set(comparison.build_windows[0])
    assert RecordedWindows.read(tmp_path / "windows.json").windows == comparison.build_windows
    assert audit is not None
    assert not audit.discrepancies
