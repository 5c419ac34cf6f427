"""What the ledger cannot answer."""

from refpay.errors import RefpayError


class HistoryArchived(RefpayError, code="history_archived", status=410):
    """The live ledger no longer reaches back so far; `python -m refpay.ledger read` does."""

    title = "The ledger of that time is in cold storage"
