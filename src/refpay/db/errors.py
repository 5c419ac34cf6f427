"""What a caller needs to know when the database is away: did it commit, or is that unknown."""

from refpay.errors import RefpayError


class DatabaseUnavailable(RefpayError):
    """Nothing was committed; the same request may be sent again."""

    code = "database_unavailable"
    title = "The database is not reachable"
    status = 503
    retryable = True
    retry_after_seconds = 1


class CommitOutcomeUnknown(DatabaseUnavailable):
    """The connection was lost in COMMIT: the transaction is either whole or absent."""


class TransactionConflicted(DatabaseUnavailable):
    """Another transaction stood in the way and this one was rolled back."""

    title = "The database was too busy with the same rows"
