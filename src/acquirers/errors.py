"""Errors of an acquirer: those that prevent its start, and those that refuse a request."""

from typing import ClassVar


class AcquirerError(Exception):
    """An expected failure: `detail` says what is wrong and what to do, without secrets."""

    code: ClassVar[str] = "acquirer_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class FlagsInvalid(AcquirerError):
    """A command-line option is missing or invalid."""

    code = "flags_invalid"
    exit_code = 2


class SecretMissing(AcquirerError):
    """A secret's file is absent, empty, unreadable or too large."""

    code = "secret_missing"


class PortTaken(AcquirerError):
    """The port cannot be listened on."""

    code = "port_taken"


class BookUnwritable(AcquirerError):
    """The book cannot be opened for writing at start."""

    code = "book_unwritable"


class BookForeign(AcquirerError):
    """The file is the book of another acquirer, or not a book."""

    code = "book_foreign"


class Unauthorized(AcquirerError):
    """The caller's key or token is missing or wrong."""

    code = "unauthorized"
    status = 401


class InstructionInvalid(AcquirerError):
    """A field of a request is missing or invalid."""

    code = "invalid"
    status = 422


class KeyReused(AcquirerError):
    """The key was used before for another request."""

    code = "key_reused"
    status = 409


class KeyUnknown(AcquirerError):
    """No operation of the book has this key."""

    code = "unknown_key"
    status = 404


class ReportUnknown(AcquirerError):
    """No settlement report of this number is published."""

    code = "unknown_report"
    status = 404


class ChargebackUnknown(AcquirerError):
    """The book has no such capture or chargeback."""

    code = "unknown_chargeback"
    status = 404


class ChargebackRefused(AcquirerError):
    """The capture cannot be charged back in this way."""

    code = "chargeback_refused"
    status = 409


class FaultUnknown(AcquirerError):
    """No active fault has this id."""

    code = "unknown_fault"
    status = 404


class FaultsTooMany(AcquirerError):
    """The maximum number of faults is active."""

    code = "too_many_faults"
    status = 409


class TemporarilyUnavailable(AcquirerError):
    """The operation was refused and had no effect; the same key may be sent again."""

    code = "temporarily_unavailable"
    status = 503
    retryable = True


class RequestsTooMany(AcquirerError):
    """Too many operations are in flight; this one had no effect."""

    code = "too_many_requests"
    status = 429
    retryable = True
