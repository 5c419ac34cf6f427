"""Errors of the ledger."""

from refpay.errors import RefpayError


class HistoryArchived(RefpayError, code="history_archived", status=410):
    """The ledger of that time is in cold storage."""

    # The live ledger no longer reaches back so far; `python -m refpay.ledger read` does.


class MonthNotMoved(RefpayError, code="month_kept", status=409):
    """The month stays where it is."""


class ColdFileDamaged(RefpayError, code="cold_file_damaged"):
    """A file of cold storage is damaged."""
