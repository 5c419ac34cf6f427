"""The classification of errors, and ledger writes without a supported library."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry import Recorder
from moneypath.telemetry.integrations.ledger import LedgerOutcome, LedgerWrite, outcome_of

Outcomes = Callable[[], dict[str, float]]
Read = Callable[..., float | None]

SQLSTATES = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=5, max_size=5)
SURE = {LedgerOutcome.CONFLICT_RETRIED, LedgerOutcome.REJECTED, LedgerOutcome.FAILED}


class ServerSaid(Exception):
    """An error as asyncpg raises it."""

    def __init__(self, sqlstate: str, severity: str | None = "ERROR") -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate
        self.severity_en = severity


@given(sqlstate=SQLSTATES)
def test_what_was_not_in_commit_is_never_unknown(sqlstate: str) -> None:
    """Before COMMIT is sent nothing is committed, whatever the server answers."""
    assert outcome_of(ServerSaid(sqlstate), in_commit=False) in SURE


@given(sqlstate=SQLSTATES)
def test_an_answer_that_ended_the_session_in_commit_is_unknown(sqlstate: str) -> None:
    """After FATAL and PANIC the result of COMMIT is unknown, under any SQLSTATE."""
    for severity in ("FATAL", "PANIC"):
        assert outcome_of(ServerSaid(sqlstate, severity), in_commit=True) is LedgerOutcome.UNKNOWN


@pytest.mark.parametrize("sqlstate", ["08000", "08006", "08P01", "57P01", "57P02", "25P04", "40003"])
def test_a_lost_connection_is_known_by_its_sqlstate_too(sqlstate: str) -> None:
    """A connection pooler reports losses without their severity."""
    assert outcome_of(ServerSaid(sqlstate, None), in_commit=True) is LedgerOutcome.UNKNOWN
    assert outcome_of(ServerSaid(sqlstate, None), in_commit=False) is LedgerOutcome.FAILED


@pytest.mark.parametrize(
    ("sqlstate", "outcome"),
    [
        ("40001", LedgerOutcome.CONFLICT_RETRIED),
        ("40P01", LedgerOutcome.CONFLICT_RETRIED),
        ("55P03", LedgerOutcome.CONFLICT_RETRIED),
        ("23505", LedgerOutcome.REJECTED),
        ("23001", LedgerOutcome.REJECTED),
        ("40002", LedgerOutcome.REJECTED),
        ("44000", LedgerOutcome.REJECTED),
        ("57014", LedgerOutcome.FAILED),
        ("XX000", LedgerOutcome.FAILED),
    ],
)
@pytest.mark.parametrize("in_commit", [False, True])
def test_an_answer_is_sure_wherever_it_comes(sqlstate: str, outcome: LedgerOutcome, in_commit: bool) -> None:
    """If the server reports an error and goes on, it has rolled back, in COMMIT too."""
    assert outcome_of(ServerSaid(sqlstate), in_commit=in_commit) is outcome


def test_a_chain_of_causes_is_followed_and_bounded() -> None:
    """The driver's error counts if it is a cause; an error that merely came before does not."""
    deep: BaseException = ServerSaid("23505")
    for _ in range(7):
        named = RuntimeError("named anew")
        named.__cause__ = deep
        deep = named
    assert outcome_of(deep, in_commit=False) is LedgerOutcome.REJECTED
    beyond = RuntimeError("one too deep")
    beyond.__cause__ = deep
    assert outcome_of(beyond, in_commit=False) is LedgerOutcome.FAILED
    circle = RuntimeError("its own cause")
    circle.__cause__ = circle
    assert outcome_of(circle, in_commit=True) is LedgerOutcome.UNKNOWN
    beside = RuntimeError("while another was handled")
    beside.__context__ = ServerSaid("23505")
    assert outcome_of(beside, in_commit=False) is LedgerOutcome.FAILED


class Refused(Exception):
    """A ledger's own error."""


def write(recorder: Recorder, error: Exception | None = None, *, committing: bool = False) -> None:
    """Return a write to a ledger without a supported library."""
    with LedgerWrite(recorder, kind="fee", outcomes={Refused: LedgerOutcome.REJECTED}) as handle:
        if committing:
            handle.committing()
        if error is not None:
            raise error


def test_a_ledger_of_another_kind(recorder: Recorder, read: Read) -> None:
    """A table maps its own errors; all others are classified as usual."""
    write(recorder)
    for error, committing in ((Refused(), True), (TimeoutError(), False), (TimeoutError(), True)):
        with pytest.raises(type(error)):
            write(recorder, error, committing=committing)
    for outcome in ("committed", "rejected", "failed", "unknown"):
        assert read("moneypath_ledger_writes_total", kind="fee", outcome=outcome) == 1
    assert read("moneypath_ledger_writes_total", kind="fee", outcome="conflict_retried") == 0


def test_a_write_ends_once(recorder: Recorder, read: Read, drops: Outcomes) -> None:
    """Only the first end counts."""
    with LedgerWrite(recorder, kind="hold") as handle:
        handle.end()
        handle.nothing_written()
        handle.outcome_unseen()
    assert read("moneypath_ledger_writes_total", kind="hold", outcome="committed") == 1
    assert drops() == {}


def test_a_write_of_no_kind_is_not_recorded(recorder: Recorder, outcomes: Outcomes, drops: Outcomes) -> None:
    """A transaction that moves no money is neither a ledger write nor a drop."""
    with LedgerWrite(recorder, kind=None):
        pass
    assert (outcomes(), drops()) == ({}, {})
