"""Round the verdict: bad input is refused first, and the end of a build is told from the gate's own."""

from dataclasses import replace
from pathlib import Path

import pytest

from moneypath import oracle
from moneypath.capacity.counters import Window
from moneypath.capacity.errors import BuildEnded, GateRefused, GateUnmeasured
from moneypath.cli.gate_command import choose_build
from moneypath.errors import MoneypathError
from moneypath.oracle import Acknowledgement, Operation, Outcome
from moneypath.stack.errors import BinaryMissing, ServerDied, ServerNotReady
from moneypath.stack.starters import Build
from moneypath.workflows.gate import GATE_FILE, _reason_without_verdict, prepare
from moneypath.workflows.gate_run import count_checkouts
from refstack.live_stack import REFERENCE

PROJECT = Path(__file__).parents[2]
BAD = replace(REFERENCE.build, api="loadtests.badbuilds.slower", folder=PROJECT)


@pytest.mark.parametrize("build", [None, REFERENCE.build, BAD])
def test_the_committed_gate_and_builds_are_accepted(build: Build | None) -> None:
    """The product's own build needs no folder of ours on its path."""
    prepared = prepare(PROJECT, PROJECT / GATE_FILE, REFERENCE, build)
    assert prepared.objectives.availability in prepared.path.slos
    assert prepared.build is (build or REFERENCE.build)
    assert REFERENCE.build.environment == {}
    assert BAD.environment == {"PYTHONPATH": str(PROJECT)}


def test_a_build_by_the_names_of_the_own_one_is_the_own_one() -> None:
    """`make gate` always names a module; only another one is looked for in the project's folder too."""
    own = REFERENCE.build
    assert choose_build(REFERENCE, None, None, PROJECT) is own
    assert choose_build(REFERENCE, own.api, own.worker, PROJECT) is own
    assert choose_build(REFERENCE, BAD.api, None, PROJECT) == BAD
    assert choose_build(REFERENCE, None, "other", PROJECT) == Build(own.api, "other", PROJECT)


@pytest.mark.parametrize("module", ["no_such_build", "refpay.no_such_build", "no_such.build"])
def test_a_build_that_is_not_there_is_refused(module: str) -> None:
    """By its name, with the exit code of bad input."""
    build = replace(REFERENCE.build, api=module, folder=PROJECT)
    with pytest.raises(GateRefused, match=module) as refused:
        prepare(PROJECT, PROJECT / GATE_FILE, REFERENCE, build)
    assert REFERENCE.build.api in refused.value.hint
    assert refused.value.exit_code == 2


def test_a_bad_gate_file_is_bad_input(tmp_path: Path) -> None:
    """Not a failed build."""
    file = tmp_path / "gate.yaml"
    file.write_text("title: x\n", encoding="utf-8")
    with pytest.raises(GateRefused, match="limits: missing key") as refused:
        prepare(PROJECT, file, REFERENCE)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (ServerDied("refpay-api", 1, ()), BuildEnded, 1),
        (ExceptionGroup("start", [ServerNotReady("refpay-worker", 30, "no", ())]), BuildEnded, 1),
        (ServerDied("prometheus", -9, ()), GateUnmeasured, 3),
        (ServerDied("load", 1, ()), GateUnmeasured, 3),
        (ExceptionGroup("start", [BinaryMissing("no promtool")]), GateUnmeasured, 3),
    ],
)
def test_the_builds_own_end_fails_and_any_other_is_no_verdict(
    error: Exception, kind: type[MoneypathError], code: int
) -> None:
    """A pipeline must not read a broken machine as a broken build, nor the other way round."""
    reason = _reason_without_verdict(error, REFERENCE.build_servers)
    assert isinstance(reason, kind)
    assert reason.exit_code == code


def test_a_bug_of_ours_stays_one() -> None:
    """It is not dressed up as a sentence."""
    bug = ZeroDivisionError()
    assert _reason_without_verdict(ExceptionGroup("x", [BinaryMissing("y"), bug]), ()) is bug


def _answer(key: str, at: float, operation: Operation = Operation.AUTHORIZE) -> Acknowledgement:
    return Acknowledgement(at, operation, key, "ref", None, 1, "EUR", 0, Outcome.UNKNOWN, False)


def test_checkouts_are_counted_by_their_first_answer_inside_the_asked_time() -> None:
    """Retries, other operations, the warm-up and what came after the end are not counted."""
    acknowledgement_log = oracle.AcknowledgementLog(
        (
            _answer("warm-up", 9.0),
            _answer("warm-up", 11.0),
            _answer("one", 11.0),
            _answer("one", 12.0),
            _answer("two", 20.0),
            _answer("capture", 15.0, Operation.CAPTURE),
            _answer("late", 20.5),
        ),
        None,
    )
    assert count_checkouts(acknowledgement_log, Window(10.0, 20.0, 22.0)) == 2
