"""The oracle: check that every unit of money is accounted for, from three independent records (witnesses)."""

from moneypath.oracle.acknowledgement_log import AcknowledgementLog, read_acknowledgement_log
from moneypath.oracle.audit import audit, find_discrepancies
from moneypath.oracle.audit_report import AuditReport, LoadDriven, MinimumEvidence, MoneyTotal, RowCounts
from moneypath.oracle.checks import CHECKS, Check
from moneypath.oracle.drain import Unresolved, await_drained
from moneypath.oracle.errors import (
    AcknowledgementLogInvalid,
    AuditInterrupted,
    DrainTimedOut,
    LedgerUnreadable,
    ProviderBookUnreadable,
    ReportsUnreadable,
)
from moneypath.oracle.evidence import Scope
from moneypath.oracle.payable import Balance
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
    ReportTaken,
    Request,
)
from moneypath.oracle.reports_taken import read_reports_taken

__all__ = [
    "CHECKS",
    "Acknowledgement",
    "AcknowledgementLog",
    "AcknowledgementLogInvalid",
    "AuditInterrupted",
    "AuditReport",
    "Balance",
    "Charge",
    "ChargeStatus",
    "Check",
    "Discrepancy",
    "DiscrepancyKind",
    "DrainTimedOut",
    "LedgerUnreadable",
    "LoadDriven",
    "MinimumEvidence",
    "MoneyTotal",
    "Operation",
    "Outcome",
    "PostingLine",
    "ProviderBookUnreadable",
    "ReportTaken",
    "ReportsUnreadable",
    "Request",
    "RowCounts",
    "Scope",
    "Unresolved",
    "audit",
    "await_drained",
    "find_discrepancies",
    "read_acknowledgement_log",
    "read_postings",
    "read_provider_book",
    "read_reports_taken",
    "stream_postings",
]
