"""The oracle: check that every unit of money is accounted for, from three independent records (witnesses)."""

from moneypath.oracle.acknowledgement_log import AcknowledgementLog, read_acknowledgement_log
from moneypath.oracle.audit import CHECKS, Check, audit, find_discrepancies
from moneypath.oracle.audit_report import AuditReport, MinimumEvidence, MoneyTotal, RowCounts
from moneypath.oracle.drain import Unresolved, await_drained
from moneypath.oracle.errors import (
    AcknowledgementLogInvalid,
    DrainTimedOut,
    LedgerUnreadable,
    ProviderBookUnreadable,
)
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

__all__ = [
    "CHECKS",
    "Acknowledgement",
    "AcknowledgementLog",
    "AcknowledgementLogInvalid",
    "AuditReport",
    "Charge",
    "ChargeStatus",
    "Check",
    "Discrepancy",
    "DiscrepancyKind",
    "DrainTimedOut",
    "LedgerUnreadable",
    "MinimumEvidence",
    "MoneyTotal",
    "Operation",
    "Outcome",
    "PostingLine",
    "ProviderBookUnreadable",
    "RowCounts",
    "Unresolved",
    "audit",
    "await_drained",
    "find_discrepancies",
    "read_acknowledgement_log",
    "read_postings",
    "read_provider_book",
    "stream_postings",
]
