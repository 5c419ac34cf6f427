"""What the ledger cannot answer."""

from refpay.errors import RefpayError


class HistoryArchived(RefpayError, code="history_archived", status=410):
    """The live ledger no longer reaches back so far; `python -m refpay.ledger read` does."""

    title = "The ledger of that time is in cold storage"


class MonthKept(RefpayError, code="month_kept", status=409):
    """A month cannot leave the live ledger, or cannot come back to it."""

    title = "The month stays where it is"


class ColdFileDamaged(RefpayError, code="cold_file_damaged"):
    """A file of cold storage is not what was written."""

    title = "A file of cold storage is damaged"
