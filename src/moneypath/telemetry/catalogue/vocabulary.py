"""The closed sets of label values. No other value may become a label value."""

from enum import StrEnum

NO_PROVIDER = "none"
OTHER = "other"


class Operation(StrEnum):
    """The operations of the payment path."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    PAYOUT = "payout"
    QUERY = "query"


class Outcome(StrEnum):
    """How an operation ended. `indeterminate`: it was sent and no answer came, so money may have moved."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    SHED = "shed"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"


class Traffic(StrEnum):
    """Where a payment came from. Only live traffic counts for an objective."""

    LIVE = "live"
    CANARY = "canary"
    DRILL = "drill"


class Cohort(StrEnum):
    """Which release served a request."""

    CONTROL = "control"
    CANDIDATE = "candidate"


class AuthorizationResult(StrEnum):
    """How the issuer or the network answered an authorization."""

    APPROVED = "approved"
    SOFT_DECLINE = "soft_decline"
    HARD_DECLINE = "hard_decline"
    FRAUD_DECLINE = "fraud_decline"
    TECHNICAL_DECLINE = "technical_decline"


class LedgerKind(StrEnum):
    """What kind of entry a ledger write made."""

    HOLD = "hold"
    RELEASE = "release"
    POSTING = "posting"
    REVERSAL = "reversal"
    PAYOUT = "payout"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSAL = "chargeback_reversal"
    FEE = "fee"
    FX = "fx"
    SUSPENSE = "suspense"
    SUSPENSE_RELEASE = "suspense_release"


class LedgerOutcome(StrEnum):
    """How a ledger write ended. `unknown`: the connection was lost during COMMIT."""

    COMMITTED = "committed"
    CONFLICT_RETRIED = "conflict_retried"
    REJECTED = "rejected"
    FAILED = "failed"
    UNKNOWN = "unknown"


class IdempotencyResult(StrEnum):
    """What the look-up of a request's idempotency key found."""

    NEW = "new"
    REPLAYED = "replayed"
    CONFLICT = "conflict"
    IN_FLIGHT = "in_flight"
    RECOVERED = "recovered"


class AtRiskReason(StrEnum):
    """Why money is at risk, in order of precedence.

    An amount counts once, under the first reason that fits.
    """

    LEDGER_IMBALANCE = "ledger_imbalance"
    DUPLICATE_CHARGE = "duplicate_charge"
    CAPTURE_WITHOUT_POSTING = "capture_without_posting"
    POSTING_WITHOUT_CAPTURE = "posting_without_capture"
    RECONCILIATION_BREAK = "reconciliation_break"
    INDETERMINATE = "indeterminate"


class CheckRunOutcome(StrEnum):
    """How one run of an SQL check ended.

    `truncated`: there are more violations than were counted. `unfit`: its columns are not those of a check.
    """

    SUCCEEDED = "succeeded"
    TRUNCATED = "truncated"
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    UNFIT = "unfit"


class ProbeResult(StrEnum):
    """Whether an acknowledged ledger write could be read back."""

    FOUND = "found"
    MISSING = "missing"


class ReconciliationResult(StrEnum):
    """The result of comparing one row of our ledger with a settlement report."""

    MATCHED = "matched"
    BROKEN = "broken"


class BreakClass(StrEnum):
    """How our ledger and a provider's settlement report differ on one movement of money."""

    MISSING_OURS = "missing_ours"
    MISSING_THEIRS = "missing_theirs"
    AMOUNT = "amount"
    CURRENCY = "currency"
    FEE = "fee"
    DUPLICATE = "duplicate"
    STATUS = "status"


class SettlementFileResult(StrEnum):
    """What happened to a settlement report that was fetched."""

    ACCEPTED = "accepted"
    LATE = "late"
    INVALID = "invalid"
    REPLAYED = "replayed"


class WebhookResult(StrEnum):
    """What happened to a webhook that a provider sent."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    UNKNOWN_PAYMENT = "unknown_payment"
    BAD_SIGNATURE = "bad_signature"


class UnattributedReason(StrEnum):
    """Why a refused webhook is not held against the provider in whose name it came."""

    UNSIGNED = "unsigned"
    UNKNOWN_KEY = "unknown_key"


class DeadLetterReason(StrEnum):
    """Why a message became a dead letter."""

    MALFORMED = "malformed"
    UNKNOWN_TYPE = "unknown_type"
    REJECTED = "rejected"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"


class WriteRefusal(StrEnum):
    """Why the broker does not take messages.

    `unanswered`: it reports nothing wrong and does not acknowledge.
    """

    DISK_FULL = "disk_full"
    LIMIT_REACHED = "limit_reached"
    WRITE_FAILED = "write_failed"
    DISABLED = "disabled"
    UNANSWERED = "unanswered"


class Disk(StrEnum):
    """The disk under a folder, by what is written there."""

    DATABASE = "database"
    MESSAGES = "messages"
    RECEIPTS = "receipts"


class MessageOutcome(StrEnum):
    """How the handling of one delivery ended. A failed message is delivered again."""

    HANDLED = "handled"
    FAILED = "failed"
    DEAD_LETTERED = "dead_lettered"


class DurabilitySetting(StrEnum):
    """A server setting that decides whether an acknowledged write survives a power cut."""

    FSYNC = "fsync"
    SYNCHRONOUS_COMMIT = "synchronous_commit"
    FULL_PAGE_WRITES = "full_page_writes"
    SYNC_INTERVAL = "sync_interval"


class RateLimit(StrEnum):
    """Which rate limit a request exceeded."""

    PRINCIPAL = "principal"
    WHOLE = "whole"
    STRANGERS = "strangers"
    REFUSED = "refused"


class RequestPart(StrEnum):
    """A part of an HTTP request."""

    BODY = "body"
    HEADER = "header"
    PATH = "path"
    QUERY = "query"


class RiskDecision(StrEnum):
    """The decision of the risk check on a payment."""

    ALLOWED = "allowed"
    BLOCKED = "blocked"


class RiskRule(StrEnum):
    """The risk rule that raised a signal."""

    CARD_TESTING = "card_testing"
    VELOCITY = "velocity"
    REFUND_ABUSE = "refund_abuse"


class CostComponent(StrEnum):
    """A component of the cost of a transaction."""

    PROVIDER_FEE = "provider_fee"
    COMPUTE = "compute"
    DATABASE = "database"
    MESSAGING = "messaging"
    TELEMETRY = "telemetry"


class DropReason(StrEnum):
    """Why a record was not taken or an export not delivered."""

    UNKNOWN_METRIC = "unknown_metric"
    UNKNOWN_LABEL = "unknown_label"
    UNKNOWN_VALUE = "unknown_value"
    NOT_A_NUMBER = "not_a_number"
    NEGATIVE = "negative"
    OUT_OF_RANGE = "out_of_range"
    SERIES_BUDGET = "series_budget"
    UNFINISHED = "unfinished"
    FINISHED_TWICE = "finished_twice"
    SPAN_QUEUE_FULL = "span_queue_full"
    SPAN_EXPORT_FAILED = "span_export_failed"
    # A worker could not share its metrics; another worker's file could not be read.
    NOT_SHARED = "not_shared"
    SHARED_FILE = "shared_file"
    EXPORT_MISSED = "export_missed"


HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", OTHER)
HTTP_STATUS_CODES = (
    "200",
    "201",
    "202",
    "204",
    "301",
    "302",
    "304",
    "307",
    "308",
    "400",
    "401",
    "402",
    "403",
    "404",
    "405",
    "406",
    "408",
    "409",
    "410",
    "413",
    "415",
    "422",
    "429",
    "499",
    "500",
    "501",
    "502",
    "503",
    "504",
    OTHER,
)
