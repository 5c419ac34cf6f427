"""Why a witness could not be heard."""

from typing import ClassVar

from moneypath.errors import MoneypathError


class LedgerUnreadable(MoneypathError):
    """The ledger's view could not be read whole."""

    code: ClassVar[str] = "ledger_unreadable"


class ProviderBookUnreadable(MoneypathError):
    """A provider's book could not be read whole."""

    code: ClassVar[str] = "provider_book_unreadable"


class JournalInvalid(MoneypathError):
    """The client's journal holds something that its writer cannot have written."""

    code: ClassVar[str] = "journal_invalid"


class DrainTimedOut(MoneypathError):
    """Operations were still unresolved when the time was up."""

    code: ClassVar[str] = "drain_timed_out"


class FieldInvalid(ValueError):
    """One field of a row is missing or not what it must be; the reader adds where the row stands."""
