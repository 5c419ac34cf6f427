"""What the crash test draws, sends, counts and says, each part by itself."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from proofs.crash_test.__main__ import main
from proofs.crash_test.client_answers import AcknowledgementTail, count_requests
from proofs.crash_test.errors import CrashTestFailed
from proofs.crash_test.message_effects import MessageEffects
from proofs.crash_test.report import classify, render, to_document
from proofs.crash_test.run import PROJECT, REPLAY_MISMATCH, Plan, Result
from proofs.crash_test.schedule import KILLS, KillPattern, Process, draw
from rich.console import Console

from moneypath.oracle import (
    Acknowledgement,
    AuditReport,
    Discrepancy,
    DiscrepancyKind,
    MinimumEvidence,
    Operation,
    Outcome,
    RowCounts,
)
from refstack.live_stack import REFERENCE

ENOUGH = RowCounts(200, 100, 150, 100, 100, 100)
EFFECTS = MessageEffects(
    resolved=9, by_worker=1, unnotified=0, unlogged=0, notifications=9, entries=9, breaks=0
)


def _answer(
    key: str, outcome: Outcome, *, at: float = 0, status: int = 200, operation: Operation = Operation.CAPTURE
) -> Acknowledgement:
    return Acknowledgement(at, operation, key, key, "p", 100, "EUR", status, outcome, replayed=False)


def _result(kills: int = 8) -> Result:
    return Result(
        plan=Plan(kills=kills, seed=1),
        kills=dict.fromkeys(Process, kills // 4),
        in_recovery=1,
        refused_starts=0,
        recoveries=(),
        requests=count_requests([_answer("a", Outcome.SUCCEEDED)]),
        effects=EFFECTS,
        audit=AuditReport((), ENOUGH, (), MinimumEvidence(24, 24, 24)),
        stored_answers_repeated=True,
        under_load_seconds=1,
        drained_seconds=1,
        seconds=1,
    )


@given(kills=st.integers(1, 300), seed=st.integers(0, 2**31))
def test_a_schedule_has_exactly_its_kills_and_is_that_of_its_seed(kills: int, seed: int) -> None:
    """Two at once are two processes, nobody waits for long, and every process has its turn."""
    rounds = draw(kills, seed)
    assert sum(each.kills for each in rounds) == kills
    assert rounds == draw(kills, seed)
    for each in rounds:
        assert (
            len(set(each.victims)) == len(each.victims) == (2 if each.pattern is KillPattern.AT_ONCE else 1)
        )
        assert each.captures_before > 0
        assert 0 <= each.dead_seconds <= 1.5
        assert 0 < each.second_kill_at < 1
    if kills >= 20:
        assert {victim for each in rounds for victim in each.victims} == set(Process)
        assert {each.pattern for each in rounds} == set(KillPattern)


def test_seeds_differ_and_a_hundred_kills_are_spread() -> None:
    """No process is spared, and none is the only one; every pattern has its share."""
    assert draw(100, 1) != draw(100, 2)
    for seed in range(20):
        rounds = draw(100, seed)
        killed: Counter[Process] = Counter()
        for each in rounds:
            killed.update({victim: KILLS[each.pattern] // len(each.victims) for victim in each.victims})
        assert min(killed[each] for each in Process) >= 15
        assert min(Counter(each.pattern for each in rounds)[pattern] for pattern in KillPattern) >= 15


@given(kills=st.integers(1, 40), seed=st.integers(0, 1000))
def test_one_process_alone_is_never_two_at_once(kills: int, seed: int) -> None:
    """Who may only kill the database kills the database."""
    rounds = draw(kills, seed, (Process.POSTGRES,))
    assert sum(each.kills for each in rounds) == kills
    assert {each.victims for each in rounds} == {(Process.POSTGRES,)}


def _row(key: str, outcome: str = "succeeded", operation: str = "capture") -> bytes:
    return json.dumps({"operation": operation, "idempotency_key": key, "outcome": outcome}).encode() + b"\n"


async def test_the_tail_counts_captures_once_and_waits_for_a_whole_line(tmp_path: Path) -> None:
    """A replay, a decline and an authorization are no further capture; a torn line is read when it ends."""
    file = tmp_path / "acknowledgements.jsonl"
    file.write_bytes(_row("a") + _row("a") + _row("b", "declined") + _row("c", operation="authorize"))
    tail = AcknowledgementTail(file)
    assert tail.read() == 1
    with file.open("ab") as stream:
        stream.write(_row("d")[:10])
        stream.flush()
        assert tail.read() == 1
        stream.write(_row("d")[10:])
    await tail.await_captures(0, 0)
    assert tail.captures == 2


async def test_payments_that_do_not_go_on_end_the_run(tmp_path: Path) -> None:
    """A stack that never takes a payment again is a finding, not an endless wait."""
    file = tmp_path / "acknowledgements.jsonl"
    file.write_bytes(_row("a"))
    with pytest.raises(CrashTestFailed, match="3 of 3 captures are missing"):
        await AcknowledgementTail(file).await_captures(3, 0)


def test_requests_are_counted_by_what_became_of_them() -> None:
    """No answer, an unsure one, a promise at a later try, and a key that was never promised anything."""
    found = count_requests(
        [
            _answer("a", Outcome.UNKNOWN, status=0),
            _answer("a", Outcome.SUCCEEDED, at=1),
            _answer("b", Outcome.INDETERMINATE, status=202, at=2),
            _answer("c", Outcome.DECLINED, status=402, at=3),
            _answer("c", Outcome.SUCCEEDED, at=5, operation=Operation.REFUND),
        ]
    )
    assert (found.sent, found.answered, found.unanswered, found.unsure) == (5, 4, 1, 1)
    assert (found.keys, found.resolved_later, found.open_keys) == (4, 1, 1)
    assert found.longest_silence_seconds == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"unnotified": 1, "notifications": 8}, ("1 resolved operations without a notification",)),
        ({"unlogged": 2, "entries": 7}, ("2 resolved operations that the compliance log lacks",)),
        ({"notifications": 10}, ("1 effects of messages that were applied twice",)),
        (
            {"unnotified": 1},
            ("1 resolved operations without a notification", "1 effects of messages that were applied twice"),
        ),
        ({"breaks": 1}, ("1 breaks in the compliance log",)),
        ({}, ()),
    ],
)
def test_what_was_told_never_or_twice_is_said(changes: dict[str, int], said: tuple[str, ...]) -> None:
    """One told twice does not hide another one that was told never."""
    assert replace(EFFECTS, **changes).findings == said


def test_every_kind_of_discrepancy_has_its_class() -> None:
    """Lost, doubled, unbalanced, or told differently."""
    assert {classify(kind) for kind in DiscrepancyKind} == {"lost", "doubled", "unbalanced", "different"}


def _spoil_audit(result: Result) -> Result:
    found = Discrepancy(DiscrepancyKind.POSTED_TWICE, "order-1", "two entries", 100, "EUR")
    return replace(result, audit=replace(result.audit, discrepancies=(found,)))


def _spoil_evidence(result: Result) -> Result:
    return replace(result, audit=replace(result.audit, rows=RowCounts(0, 0, 0, 0, 0, 0)))


SPOILT: dict[str, tuple[Callable[[Result], Result], str]] = {
    "discrepancy": (_spoil_audit, "posted_twice: order-1: two entries"),
    "empty": (_spoil_evidence, "too little evidence"),
    "effects": (lambda it: replace(it, effects=replace(EFFECTS, breaks=1)), "compliance log"),
    "answers": (lambda it: replace(it, stored_answers_repeated=False), "not repeated to the byte"),
    "kills": (lambda it: replace(it, kills={**it.kills, Process.NATS: 1}), "7 kills, wanted: 8"),
    "spared": (
        lambda it: replace(it, kills={**it.kills, Process.NATS: 0, Process.API: 4}),
        "never killed: nats",
    ),
}


def test_a_run_without_findings_is_whole() -> None:
    """The twin of all that follow; it says what it did not try."""
    result = _result()
    assert result.whole
    document = to_document(result, "runs/1")
    assert document["whole"]
    assert document["classes"] == {"lost": 0, "doubled": 0, "unbalanced": 0, "different": 0}
    assert "not a power cut" in document["limits"]
    json.dumps(document)


@pytest.mark.parametrize("spoil", SPOILT)
def test_whatever_is_wrong_is_a_finding(spoil: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty run, a spared process and a missing kill are findings as much as a discrepancy is."""
    change, said = SPOILT[spoil]
    result = change(_result())
    assert not result.whole
    assert any(said in each for each in to_document(result, "runs/1")["findings"])
    Console(width=200).print(render(result, "runs/1"))
    shown = capsys.readouterr().out
    for word in (
        "NOT WHOLE",
        said,
        "runs/1",
        "python -m proofs.crash_test --kills 8 --seed 1",
        "not a power cut",
    ):
        assert word in shown


def test_the_command_repeats_the_plan() -> None:
    """Only what differs from the defaults is said."""
    plan = Plan(
        3, 4, (Process.NATS,), replace(REFERENCE.build, api="loadtests.badbuilds.slower", folder=Path())
    )
    expected = "--kills 3 --seed 4 --process nats --build loadtests.badbuilds.slower"
    assert plan.command == f"python -m proofs.crash_test {expected}"


def test_the_load_test_logs_what_the_crash_test_looks_for() -> None:
    """A stored answer that is not repeated shows in its log by these words."""
    assert REPLAY_MISMATCH in (PROJECT / "loadtests" / "checkout.py").read_text(encoding="utf-8")


def test_the_crash_test_does_not_import_the_service() -> None:
    """What imports the service cannot test it."""
    files = [*(PROJECT / "proofs" / "crash_test").glob("*.py")]
    assert len(files) > 5
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"(from|import) (refpay|acquirers|proofs.simulation)", text), file


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--kills", "0"), "0 is not in the range"),
        (("--process", "pager"), "'pager' is not one of 'refpay-api', 'refpay-worker', 'postgres', 'nats'"),
        (("--seed", "-1"), "-1 is not in the range"),
    ],
)
def test_bad_input_is_one_sentence_and_starts_nothing(arguments: tuple[str, ...], said: str) -> None:
    """The exit code is 2, and what is allowed is said."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in result.output
