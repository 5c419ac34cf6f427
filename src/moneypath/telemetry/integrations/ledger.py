"""Ledger transactions, whichever library runs them: how long they took, and how they ended.

The modules of the libraries use this; it stands alone for a ledger that none of them reaches.
"""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Final, NamedTuple, Self

from moneypath.telemetry.catalogue.vocabulary import DropReason, LedgerKind, LedgerOutcome, Outcome
from moneypath.telemetry.errors import MetricUnknown
from moneypath.telemetry.recording.recorder import Recorder
from moneypath.telemetry.tracing import SILENT, SpanKind

__all__ = ["LedgerKind", "LedgerOutcome", "LedgerWrite", "outcome_of"]

WRITES: Final = "moneypath_ledger_writes_total"
SECONDS: Final = "moneypath_ledger_write_duration_seconds"
KIND: Final = "moneypath.ledger.kind"
OUTCOME: Final = "moneypath.ledger.outcome"
# OpenTelemetry's name for the answer's code: of a database, the SQLSTATE.
SQLSTATE: Final = "db.response.status_code"

# Another transaction stood in the way: serialization failure, deadlock, a lock that was not had in time.
_CONFLICTS: Final = frozenset({"40001", "40P01", "55P03"})
# The server's own rules refused what was written.
_INTEGRITY_CLASS: Final = "23"
_INTEGRITY: Final = frozenset({"40002", "44000"})
# After these nobody is left to say what COMMIT did: connection exceptions, shutdowns, time-outs that end
# the session, and the code that says so in words (`statement_completion_unknown`).
_LOST_CLASS: Final = "08"
_LOST: Final = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04", "40003"})
_ENDS_SESSION: Final = frozenset({"FATAL", "PANIC"})
# The names of spans come from here and not from a caller's text.
_SPANS: Final[dict[str, str]] = {kind: f"ledger {kind}" for kind in LedgerKind}
# Whatever else it was, nothing was written: such a span is kept, sampled or not.
_SPAN_OUTCOMES: Final = {
    LedgerOutcome.COMMITTED: Outcome.SUCCEEDED,
    LedgerOutcome.UNKNOWN: Outcome.INDETERMINATE,
}
# Services raise errors of their own from the driver's; more links than this are somebody's mistake.
_CHAIN_LIMIT: Final = 8


class LedgerWrite:
    """Time one ledger transaction: enter, leave after COMMIT or ROLLBACK; recorded once, on leaving.

    With a tracer it is a span as well, under what is active when it is left.

    `kind` is one of LedgerKind; None records nothing. `outcomes` names the outcome of errors of the
    caller's own, the first that fits; any other error is judged by `outcome_of`. Used alone, call
    `committing` right before COMMIT.
    """

    __slots__ = (
        *("_begun", "_ended", "_in_commit", "_outcomes", "_recorder", "_rolled_back", "_traced_from"),
        "kind",
    )

    def __init__(
        self,
        recorder: Recorder,
        *,
        kind: str | None,
        outcomes: Mapping[type[BaseException], LedgerOutcome] | None = None,
    ) -> None:
        self.kind = kind
        self._recorder = recorder
        self._outcomes = outcomes or {}
        self._begun = self._traced_from = 0.0
        self._ended = False
        self._in_commit = False
        self._rolled_back = False

    def __enter__(self) -> Self:
        tracer = self._recorder.tracer
        if tracer is not SILENT:
            self._traced_from = tracer.clock()
        self._begun = self._recorder.now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    @property
    def is_committing(self) -> bool:
        """Tell whether COMMIT was sent."""
        return self._in_commit

    def nothing_written(self) -> None:
        """Record nothing of this transaction: it found that there was nothing to write."""
        self._ended = True

    def outcome_unseen(self) -> None:
        """Count a drop instead of an outcome: the block is part of a transaction that others commit."""
        if not self._ended:
            self._ended = True
            self._recorder.count_drop(DropReason.UNFINISHED)

    def committing(self) -> None:
        """Say that COMMIT is sent next: from here on a lost connection leaves the outcome unknown."""
        self._in_commit = True

    def rolled_back(self) -> None:
        """Say that nothing can be committed any more, whatever COMMIT seems to say.

        PostgreSQL answers a COMMIT that follows a swallowed error with ROLLBACK, and no error.
        """
        self._rolled_back = True

    def end(self, error: BaseException | None = None, *, timed: bool = True) -> None:
        """Record how the transaction ended; a second call and one after `nothing_written` do nothing.

        Without an error it was committed. `timed` False counts it alone: its end was noticed late.
        """
        if self._ended:
            return
        self._ended = True
        if self.kind is None:
            return
        seconds = self._recorder.now() - self._begun
        outcome = self._judge(error)
        try:
            writes, durations = self._recorder.counter(WRITES), self._recorder.histogram(SECONDS)
        except MetricUnknown:
            # A payment is under way: what was wired wrongly is counted, and never breaks it.
            self._recorder.count_drop(DropReason.UNKNOWN_METRIC)
            return
        writes.inc(kind=self.kind, outcome=outcome)
        if timed:
            durations.observe(seconds, kind=self.kind, outcome=outcome)
            self._trace(outcome, error)

    def _trace(self, outcome: LedgerOutcome, error: BaseException | None) -> None:
        """Write the transaction down as a span, now that it has ended.

        Not before: SQLAlchemy's events give no block to put round it, and nobody is called within who would
        have to know of it. What a database says of an error quotes its rows, so its code alone is kept.
        """
        tracer = self._recorder.tracer
        name = _SPANS.get(self.kind) if isinstance(self.kind, str) else None
        if tracer is SILENT or name is None:
            return
        span = tracer.begin(name, SpanKind.CLIENT, begun=self._traced_from)
        span.set(KIND, self.kind)
        span.set(OUTCOME, outcome)
        answer = None if error is None else next(_answers(error), None)
        if answer is not None:
            span.set(SQLSTATE, answer.sqlstate)
        span.end_with(_SPAN_OUTCOMES.get(outcome, Outcome.FAILED))
        span.end()

    def _judge(self, error: BaseException | None) -> LedgerOutcome:
        if error is None:
            return LedgerOutcome.FAILED if self._rolled_back else LedgerOutcome.COMMITTED
        for known, outcome in self._outcomes.items():
            if isinstance(error, known):
                return outcome
        return outcome_of(error, in_commit=self._in_commit)


def outcome_of(error: BaseException, *, in_commit: bool) -> LedgerOutcome:
    """Name the outcome of a transaction that ended in this error; `in_commit` if COMMIT itself raised it.

    Judged by the SQLSTATE of the error or of what it was raised from. An error of COMMIT without the
    server's answer, such as a lost connection, a time-out or a cancellation, is `unknown`.
    """
    answers = list(_answers(error))
    sqlstate = answers[0].sqlstate if answers else None
    ended = any(answer.severity in _ENDS_SESSION for answer in answers)
    if in_commit and (sqlstate is None or ended or sqlstate in _LOST or sqlstate[:2] == _LOST_CLASS):
        return LedgerOutcome.UNKNOWN
    if sqlstate in _CONFLICTS:
        return LedgerOutcome.CONFLICT_RETRIED
    if sqlstate is not None and (sqlstate[:2] == _INTEGRITY_CLASS or sqlstate in _INTEGRITY):
        return LedgerOutcome.REJECTED
    return LedgerOutcome.FAILED


class _Answer(NamedTuple):
    sqlstate: str
    severity: str | None


def _answers(error: BaseException) -> Iterator[_Answer]:
    """Yield what the server said, from the error that was raised to the one it was raised from.

    By attribute, because psycopg, asyncpg and SQLAlchemy's adapters share no class.
    """
    link: object = error
    for _ in range(_CHAIN_LIMIT):
        if not isinstance(link, BaseException):
            return
        sqlstate = getattr(link, "sqlstate", None) or getattr(link, "pgcode", None)
        if isinstance(sqlstate, str):
            diagnosis = getattr(link, "diag", None)
            severity = getattr(link, "severity_en", None) or getattr(diagnosis, "severity_nonlocalized", None)
            yield _Answer(sqlstate, severity)
        # SQLAlchemy keeps the driver's error there.
        link = getattr(link, "orig", None) or link.__cause__
