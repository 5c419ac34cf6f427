"""What a caller needs to know when the database is away: did it commit, or is that unknown."""

from refpay.errors import RefpayError


class DatabaseUnavailable(RefpayError, code="database_unavailable", status=503, retry_after_seconds=1):
    """The database is not reachable."""

    # Nothing was committed; the same request may be sent again.


class CommitOutcomeUnknown(DatabaseUnavailable):
    """The connection was lost in COMMIT: the transaction is either whole or absent."""


class TransactionConflicted(DatabaseUnavailable):
    """Another transaction stood in the way and this one was rolled back."""

    title = "The database was too busy with the same rows"
