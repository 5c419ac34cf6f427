"""The oracle: is every unit of money accounted for? Three witnesses, asked both ways."""

from moneypath.oracle.audit import CHECKS, Check, audit, judge
from moneypath.oracle.drain import Unresolved, await_drained
from moneypath.oracle.errors import DrainTimedOut, JournalInvalid, LedgerUnreadable, ProviderBookUnreadable
from moneypath.oracle.journal import Journal, read_journal
from moneypath.oracle.postings import read_postings, stream_postings
from moneypath.oracle.provider_book import read_provider_book
from moneypath.oracle.records import (
    Acknowledgement,
    Charge,
    ChargeStatus,
    Discrepancy,
    DiscrepancyKind,
    Operation,
    Outcome,
    PostingLine,
)
from moneypath.oracle.verdict import MinimumEvidence, MoneyTotal, RowCounts, Verdict

__all__ = [
    "CHECKS",
    "Acknowledgement",
    "Charge",
    "ChargeStatus",
    "Check",
    "Discrepancy",
    "DiscrepancyKind",
    "DrainTimedOut",
    "Journal",
    "JournalInvalid",
    "LedgerUnreadable",
    "MinimumEvidence",
    "MoneyTotal",
    "Operation",
    "Outcome",
    "PostingLine",
    "ProviderBookUnreadable",
    "RowCounts",
    "Unresolved",
    "Verdict",
    "audit",
    "await_drained",
    "judge",
    "read_journal",
    "read_postings",
    "read_provider_book",
    "stream_postings",
]
