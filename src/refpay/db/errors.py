"""Define database errors by what a caller needs to know: was the transaction committed?"""

from collections.abc import Mapping
from typing import Final

from moneypath.telemetry.integrations.ledger import LedgerOutcome
from refpay.errors import RefpayError


class DatabaseUnavailable(RefpayError, code="database_unavailable", status=503, retry_after_seconds=1):
    """The database is not reachable."""

    # Nothing was committed; the same request may be sent again.


class CommitOutcomeUnknown(DatabaseUnavailable):
    """The connection was lost in COMMIT: the transaction is either whole or absent."""


class TransactionConflicted(DatabaseUnavailable):
    """Another transaction stood in the way and this one was rolled back."""

    title = "The database was too busy with the same rows"


# How a ledger write that ended with one of these is counted; the first that fits. Errors of asyncpg are
# judged by the telemetry library.
LEDGER_OUTCOMES: Final[Mapping[type[BaseException], LedgerOutcome]] = {
    CommitOutcomeUnknown: LedgerOutcome.UNKNOWN,
    TransactionConflicted: LedgerOutcome.CONFLICT_RETRIED,
}
