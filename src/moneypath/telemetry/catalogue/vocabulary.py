"""The closed sets that stand in labels. Nothing else may become a label value."""

from enum import StrEnum

NO_PROVIDER = "none"
OTHER = "other"


class Operation(StrEnum):
    """What was asked of the payment path."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    PAYOUT = "payout"
    QUERY = "query"


class Outcome(StrEnum):
    """How an operation ended; `indeterminate` means sent without an answer, where money is lost."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    SHED = "shed"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"


class Traffic(StrEnum):
    """Whose payment it was; only live traffic counts for an objective."""

    LIVE = "live"
    CANARY = "canary"
    DRILL = "drill"


class Cohort(StrEnum):
    """Which release answered."""

    CONTROL = "control"
    CANDIDATE = "candidate"


class AuthorizationResult(StrEnum):
    """What the issuer or the network said to an authorization."""

    APPROVED = "approved"
    SOFT_DECLINE = "soft_decline"
    HARD_DECLINE = "hard_decline"
    FRAUD_DECLINE = "fraud_decline"
    TECHNICAL_DECLINE = "technical_decline"


class LedgerKind(StrEnum):
    """What kind of entry a ledger write made."""

    HOLD = "hold"
    POSTING = "posting"
    REVERSAL = "reversal"
    FEE = "fee"


class LedgerOutcome(StrEnum):
    """How a ledger write ended; `unknown` means the connection was lost in COMMIT."""

    COMMITTED = "committed"
    CONFLICT_RETRIED = "conflict_retried"
    REJECTED = "rejected"
    FAILED = "failed"
    UNKNOWN = "unknown"


class IdempotencyResult(StrEnum):
    """What the idempotency key of a request turned out to be."""

    NEW = "new"
    REPLAYED = "replayed"
    CONFLICT = "conflict"
    IN_FLIGHT = "in_flight"
    RECOVERED = "recovered"


class AtRiskReason(StrEnum):
    """Why money is at risk. The order is the precedence: an amount counts once, under the first that fits."""

    LEDGER_IMBALANCE = "ledger_imbalance"
    DUPLICATE_CHARGE = "duplicate_charge"
    CAPTURE_WITHOUT_POSTING = "capture_without_posting"
    POSTING_WITHOUT_CAPTURE = "posting_without_capture"
    RECONCILIATION_BREAK = "reconciliation_break"
    INDETERMINATE = "indeterminate"


class ProbeResult(StrEnum):
    """Whether an acknowledged ledger write could be read back."""

    FOUND = "found"
    MISSING = "missing"


class ReconciliationResult(StrEnum):
    """What became of one row when our ledger and a settlement report were compared."""

    MATCHED = "matched"
    BROKEN = "broken"


class BreakClass(StrEnum):
    """How our ledger and a provider's settlement report disagree about one movement of money."""

    MISSING_OURS = "missing_ours"
    MISSING_THEIRS = "missing_theirs"
    AMOUNT = "amount"
    CURRENCY = "currency"
    FEE = "fee"
    DUPLICATE = "duplicate"
    STATUS = "status"


class SettlementFileResult(StrEnum):
    """What became of a settlement report that was fetched."""

    ACCEPTED = "accepted"
    LATE = "late"
    INVALID = "invalid"
    REPLAYED = "replayed"


class WebhookResult(StrEnum):
    """What became of a notification that a provider sent."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    UNKNOWN_PAYMENT = "unknown_payment"
    BAD_SIGNATURE = "bad_signature"


class DeadLetterReason(StrEnum):
    """Why a message was set aside."""

    MALFORMED = "malformed"
    UNKNOWN_TYPE = "unknown_type"
    REJECTED = "rejected"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"


class MessageOutcome(StrEnum):
    """How the handling of one delivery of a message ended; a failed one comes again."""

    HANDLED = "handled"
    FAILED = "failed"
    DEAD_LETTERED = "dead_lettered"


class DurabilitySetting(StrEnum):
    """On what it depends that an acknowledged write outlives a power cut."""

    FSYNC = "fsync"
    SYNCHRONOUS_COMMIT = "synchronous_commit"
    FULL_PAGE_WRITES = "full_page_writes"
    SYNC_INTERVAL = "sync_interval"


class RateLimit(StrEnum):
    """Whose share of the requests was used up."""

    PRINCIPAL = "principal"
    WHOLE = "whole"
    STRANGERS = "strangers"


class RequestPart(StrEnum):
    """Where in a request something stands."""

    BODY = "body"
    HEADER = "header"
    PATH = "path"
    QUERY = "query"


class RiskDecision(StrEnum):
    """What risk said to a payment."""

    ALLOWED = "allowed"
    BLOCKED = "blocked"


class RiskRule(StrEnum):
    """Which rule of risk gave a signal."""

    CARD_TESTING = "card_testing"
    VELOCITY = "velocity"
    REFUND_ABUSE = "refund_abuse"


class CostComponent(StrEnum):
    """What a transaction is paid for."""

    PROVIDER_FEE = "provider_fee"
    COMPUTE = "compute"
    DATABASE = "database"
    MESSAGING = "messaging"
    TELEMETRY = "telemetry"


class DropReason(StrEnum):
    """Why a record was not taken, or an export not delivered."""

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
    # A worker that could not share its cells, or another one's file that could not be read.
    NOT_SHARED = "not_shared"
    SHARED_FILE = "shared_file"
    EXPORT_MISSED = "export_missed"


HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", OTHER)
HTTP_STATUS_CODES = (
    *("200", "201", "202", "204", "301", "302", "304", "307", "308"),
    *(
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
    ),
    *("500", "501", "502", "503", "504", OTHER),
)
