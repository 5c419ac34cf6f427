"""What can be wrong with an SQL check before it runs, and with the connection on which it runs."""

from moneypath.errors import MoneypathError


class ChecksUndeclared(MoneypathError):
    """A declaration without a check that has `sql`."""

    code = "checks_undeclared"


class QueryUnusable(MoneypathError):
    """A query file that does not hold one SELECT."""

    code = "query_unusable"


class DatabaseLost(Exception):
    """A database that is gone or does not answer. `reason` quotes neither a row nor a secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
