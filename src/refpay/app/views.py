"""Response models for the OpenAPI description, where no type of a package fits.

Tests compare them with real answers.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from refpay.audit.events import AuditEvent
from refpay.identity.approvals import Approval
from refpay.money import Currency
from refpay.payments.model import OperationKind, OperationStatus, PaymentStatus
from refpay.risk.model import CardRange, CardRangeActivity

Provider = Literal["north", "south"]
Queue = Literal["notifications", "compliance_log"]
BreakClass = Literal["missing_ours", "missing_theirs", "amount", "currency", "fee", "duplicate", "status"]


class WrongKey(BaseModel):
    """A key of the request that is wrong, and why."""

    key: str
    problem: str


class ProblemView(BaseModel):
    """Why a request is refused (RFC 9457); `code` is stable, `detail` is for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    correlation_id: str
    errors: list[WrongKey] = []
    # Of the token endpoint alone: RFC 6749, section 5.2, wants the code once more.
    error: str = ""


class OperationView(BaseModel):
    """One instruction to a provider."""

    id: UUID
    kind: OperationKind
    status: OperationStatus
    amount_minor: int
    decline_code: str | None


class _Head(BaseModel):
    id: UUID
    merchant_reference: str
    amount_minor: int
    currency: Currency
    provider: Provider
    created_at: datetime


class ListedPaymentView(_Head):
    """A payment in a list. Amounts are in minor units of its currency."""

    status: PaymentStatus
    captured_minor: int
    refunded_minor: int
    released_minor: int
    charged_back_minor: int


class PaymentView(ListedPaymentView):
    """A payment and its operations."""

    operations: list[OperationView]


class PayoutView(_Head):
    """A payout. Its amount is in minor units of its currency."""

    status: OperationStatus


class PaymentsView(BaseModel):
    """A page, newest first. `next` is null on the last page; a short page may still have a next one."""

    payments: list[ListedPaymentView]
    next: str | None


class BalanceView(BaseModel):
    """The balance of an account in one currency, in minor units, debit positive."""

    account: str
    currency: Currency
    balance_minor: int


class BalancesView(BaseModel):
    """A page in the order of accounts. `next` is null on the last page."""

    as_of: datetime | None
    balances: list[BalanceView]
    next: str | None


@dataclass(frozen=True)
class AuditEventView(AuditEvent):
    """An audit record: who changed what and when, before and after. `seq` is the order of writing."""

    id: UUID
    seq: int


class AuditView(BaseModel):
    """A page, newest first. `next` is null on the last page; a short page may still have a next one."""

    events: list[AuditEventView]
    next: str | None


class TokenView(BaseModel):
    """An access token and its scope."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    scope: str


class KeyView(BaseModel):
    """A public key (RFC 7517)."""

    model_config = ConfigDict(extra="allow")

    kty: str
    kid: str


class KeysView(BaseModel):
    """The public keys that verify access tokens."""

    keys: list[KeyView]


class ApprovalsView(BaseModel):
    """What waits for the approval of a second person."""

    approvals: list[Approval]


class RouteView(BaseModel):
    """Whether new payments are routed to a provider."""

    provider: Provider
    routing_active: bool
    changed_by: str | None
    changed_at: datetime | None
    reason: str | None


class RoutesView(BaseModel):
    """The routing of every provider."""

    providers: list[RouteView]


class RouteChangeView(RouteView):
    """A provider's routing after an operator action."""

    changed: bool


class CardRangeChangeView(BaseModel):
    """A card range after an operator action.

    For a range that was never blocked, who, when and why are absent.
    """

    card_range: str
    blocked: bool
    changed_by: str = ""
    changed_at: datetime = datetime.min
    reason: str = ""
    changed: bool


class RiskView(BaseModel):
    """Blocked card ranges, the busiest ones, and the rules in force."""

    window_seconds: int
    autoblock: bool
    blocked: list[CardRange]
    busiest: list[CardRangeActivity]


class DeadLetterDepthView(BaseModel):
    """The number of dead letters of one queue and reason."""

    queue: Queue
    reason: str
    depth: int
    observed_at: datetime


class ReplayView(BaseModel):
    """A request to replay dead letters."""

    id: UUID
    queue: Queue
    state: Literal["requested", "running", "done"]
    requested_by: str
    requested_at: datetime
    reason: str
    begun_at: datetime | None
    finished_at: datetime | None
    found: int | None
    see: str


class ReplayChangeView(ReplayView):
    """A replay after an operator action."""

    changed: bool


class DeadLettersView(BaseModel):
    """Dead letters by queue and reason, and the latest replays."""

    dead_letters: list[DeadLetterDepthView]
    replays: list[ReplayView]


class ProgressView(BaseModel):
    """How far reconciliation with one provider has come."""

    provider: Provider
    watermark: datetime | None
    next_due: datetime | None
    refused: int


class _Break(BaseModel):
    provider: Provider
    class_: BreakClass = Field(alias="class")
    currency: str
    value_minor: int


class BreakSumView(_Break):
    """Open breaks of one class and currency."""

    breaks: int
    oldest: datetime


class BreakView(_Break):
    """An open break. `movement` and `sequence` locate it in the settlement report."""

    id: UUID
    operation_id: UUID | None
    key: str
    movement: str
    sequence: int | None
    first_seen: datetime


class ReconciliationView(BaseModel):
    """The state of reconciliation and its open breaks."""

    providers: list[ProgressView]
    open_breaks: list[BreakSumView]
    newest_breaks: list[BreakView]


class RefetchView(BaseModel):
    """The number of settlement reports that are fetched again."""

    provider: Provider
    reports: int
    changed: bool


class RepairPendingView(BaseModel):
    """A refund that waits for approval. Once a second person has approved it, send the same request again."""

    provider: Provider
    awaits: Literal["approval"]
    approval_id: UUID
    changed: Literal[False]


class RepairView(BaseModel):
    """What was refunded, in minor units by currency."""

    provider: Provider
    refunded: int
    minor_units: dict[str, int]
    changed: bool
