"""Errors of the oracle: why a witness could not be read."""

from typing import ClassVar

from moneypath.errors import MoneypathError


class LedgerUnreadable(MoneypathError):
    """The ledger could not be read completely."""

    code: ClassVar[str] = "ledger_unreadable"


class ProviderBookUnreadable(MoneypathError):
    """A provider's book could not be read completely."""

    code: ClassVar[str] = "provider_book_unreadable"


class ReportsUnreadable(MoneypathError):
    """A provider did not say which settlement reports it has served."""

    code: ClassVar[str] = "served_reports_unreadable"


class AcknowledgementLogInvalid(MoneypathError):
    """The acknowledgement log cannot be read, or holds a line that the client cannot have written."""

    code: ClassVar[str] = "acknowledgement_log_invalid"


class AuditInterrupted(MoneypathError):
    """A process that audits a part of the rows ended before it was done."""

    code: ClassVar[str] = "audit_interrupted"


class DrainTimedOut(MoneypathError):
    """Operations were still unresolved at the end of the time limit."""

    code: ClassVar[str] = "drain_timed_out"


class FieldInvalid(ValueError):
    """One field of a row is missing or invalid. The reader adds the position of the row."""
