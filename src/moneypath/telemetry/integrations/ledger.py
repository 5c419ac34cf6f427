"""Times ledger transactions and counts them by outcome, for any database library.

The modules for specific libraries use it. Use it directly with a library that has no module.
"""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Final, NamedTuple, Self

from moneypath.telemetry.catalogue.vocabulary import DropReason, LedgerKind, LedgerOutcome, Outcome
from moneypath.telemetry.errors import MetricUnknown
from moneypath.telemetry.recording.recorder import Recorder
from moneypath.telemetry.tracing import NOOP_TRACER, SpanKind

__all__ = ["LedgerKind", "LedgerOutcome", "LedgerWrite", "outcome_of"]

WRITES: Final = "moneypath_ledger_writes_total"
SECONDS: Final = "moneypath_ledger_write_duration_seconds"
KIND: Final = "moneypath.ledger.kind"
OUTCOME: Final = "moneypath.ledger.outcome"
# OpenTelemetry's attribute for the code of a response; for a database, the SQLSTATE.
SQLSTATE: Final = "db.response.status_code"

# Conflicts with another transaction: serialization failure, deadlock, lock time-out.
_CONFLICTS: Final = frozenset({"40001", "40P01", "55P03"})
# Constraints of the database that refuse a write.
_INTEGRITY_CLASS: Final = "23"
_INTEGRITY: Final = frozenset({"40002", "44000"})
# After these the result of COMMIT is unknown: connection exceptions, shutdowns, time-outs that end the
# session, and `statement_completion_unknown`.
_LOST_CLASS: Final = "08"
_LOST: Final = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04", "40003"})
_ENDS_SESSION: Final = frozenset({"FATAL", "PANIC"})
# The names of spans are fixed here; a caller's text never becomes one.
_SPANS: Final[dict[str, str]] = {kind: f"ledger {kind}" for kind in LedgerKind}
# Any other outcome means that nothing was written; such a span is exported even if not sampled.
_SPAN_OUTCOMES: Final = {
    LedgerOutcome.COMMITTED: Outcome.SUCCEEDED,
    LedgerOutcome.UNKNOWN: Outcome.INDETERMINATE,
}
# Services raise their own errors from the driver's. A longer chain of causes is not followed.
_CHAIN_LIMIT: Final = 8


class LedgerWrite:
    """Times one ledger transaction. Enter it before BEGIN, leave it after COMMIT or ROLLBACK.

    With a tracer it also makes a span, under what is active when it ends.

    `kind` is one of LedgerKind; None records nothing. `outcomes` maps the caller's own exceptions to
    outcomes; the first match counts. Any other error is classified by `outcome_of`. Used directly, call
    `committing` right before COMMIT.
    """

    __slots__ = (
        "_ended",
        "_in_commit",
        "_outcomes",
        "_recorder",
        "_rolled_back",
        "_started_at",
        "_traced_from",
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
        self._started_at = self._traced_from = 0.0
        self._ended = False
        self._in_commit = False
        self._rolled_back = False

    def __enter__(self) -> Self:
        tracer = self._recorder.tracer
        if tracer is not NOOP_TRACER:
            self._traced_from = tracer.clock()
        self._started_at = self._recorder.now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    @property
    def is_committing(self) -> bool:
        """Return whether COMMIT was sent."""
        return self._in_commit

    def nothing_written(self) -> None:
        """Record nothing, because the transaction found nothing to write."""
        self._ended = True

    def outcome_unseen(self) -> None:
        """Count a drop instead of an outcome. The block is part of a transaction that others commit."""
        if not self._ended:
            self._ended = True
            self._recorder.count_drop(DropReason.UNFINISHED)

    def committing(self) -> None:
        """Note that COMMIT is sent next. If the connection is lost from here on, the outcome is unknown."""
        self._in_commit = True

    def rolled_back(self) -> None:
        """Note that nothing can be committed any more, even if COMMIT seems to succeed.

        PostgreSQL answers COMMIT after a caught error with ROLLBACK, and raises no error.
        """
        self._rolled_back = True

    def end(self, error: BaseException | None = None, *, timed: bool = True) -> None:
        """Record the outcome. Does nothing when called again or after `nothing_written`.

        Without an error the outcome is committed. `timed=False` counts the transaction without its
        duration, because its end was noticed late.
        """
        if self._ended:
            return
        self._ended = True
        if self.kind is None:
            return
        seconds = self._recorder.now() - self._started_at
        outcome = self._judge(error)
        try:
            writes, durations = self._recorder.counter(WRITES), self._recorder.histogram(SECONDS)
        except MetricUnknown:
            # A mistake in setting up telemetry must not break a payment; it is counted.
            self._recorder.count_drop(DropReason.UNKNOWN_METRIC)
            return
        writes.inc(kind=self.kind, outcome=outcome)
        if timed:
            durations.observe(seconds, kind=self.kind, outcome=outcome)
            self._trace(outcome, error)

    def _trace(self, outcome: LedgerOutcome, error: BaseException | None) -> None:
        """Make a span of the transaction after it has ended.

        It is not made earlier, because SQLAlchemy's events give no block to wrap, and nothing inside needs
        the span. Only the code of a database error is kept, because its message quotes rows.
        """
        tracer = self._recorder.tracer
        name = _SPANS.get(self.kind) if isinstance(self.kind, str) else None
        if tracer is NOOP_TRACER or name is None:
            return
        span = tracer.begin(name, SpanKind.CLIENT, started_at=self._traced_from)
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
    """Return the outcome of a transaction that ended with this error; `in_commit` if COMMIT itself raised it.

    Decided by the SQLSTATE of the error or of its causes. An error of COMMIT without an answer of the
    server, such as a lost connection, a time-out or a cancellation, means `unknown`.
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
    """Yield the server's answers along the chain of causes.

    They are read by attribute, because psycopg, asyncpg and SQLAlchemy's adapters share no class.
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
        # SQLAlchemy stores the driver's error in `orig`.
        link = getattr(link, "orig", None) or link.__cause__
