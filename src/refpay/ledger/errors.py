"""What the ledger cannot answer."""

from refpay.errors import RefpayError


class HistoryArchived(RefpayError):
    """The live ledger no longer reaches back so far; `python -m refpay.ledger read` does."""

    code = "history_archived"
    title = "The ledger of that time is in cold storage"
    status = 410
