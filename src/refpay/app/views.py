"""What answers look like, for the description, where no room has a type for it; the tests compare."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from refpay.audit.events import AuditEvent
from refpay.identity.approvals import Approval
from refpay.money import Currency
from refpay.payments.model import OperationKind, OperationStatus, PaymentStatus
from refpay.risk.model import Activity, CardRange

Provider = Literal["north", "south"]
Queue = Literal["notifications", "compliance_log"]
BreakClass = Literal["missing_ours", "missing_theirs", "amount", "currency", "fee", "duplicate", "status"]


class WrongKey(BaseModel):
    """A key of the request, and what is wrong with it."""

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
    """A charge as it is listed; every amount is in minor units of its currency."""

    status: PaymentStatus
    captured_minor: int
    refunded_minor: int
    released_minor: int
    charged_back_minor: int


class PaymentView(ListedPaymentView):
    """A charge and what was done at its provider."""

    operations: list[OperationView]


class PayoutView(_Head):
    """Money on its way to a merchant, or there; the amount is in minor units of its currency."""

    status: OperationStatus


class PaymentsView(BaseModel):
    """A page, newest first; without `next` it is the last, and a short one may still have a next."""

    payments: list[ListedPaymentView]
    next: str | None


class BalanceView(BaseModel):
    """What an account comes to in a currency, in minor units, debit positive."""

    account: str
    currency: Currency
    balance_minor: int


class BalancesView(BaseModel):
    """A page in the order of accounts; without `next` it is the last."""

    as_of: datetime | None
    balances: list[BalanceView]
    next: str | None


@dataclass(frozen=True)
class AuditEventView(AuditEvent):
    """One change: who, what, when, before and after; `seq` is the order of writing."""

    id: UUID
    seq: int


class AuditView(BaseModel):
    """A page, newest first; without `next` it is the last, and a short one may still have a next."""

    events: list[AuditEventView]
    next: str | None


class TokenView(BaseModel):
    """A token, and what it is good for."""

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
    """The keys that tokens are signed with."""

    keys: list[KeyView]


class ApprovalsView(BaseModel):
    """What waits for a second person."""

    approvals: list[Approval]


class RouteView(BaseModel):
    """Whether a provider gets new payments."""

    provider: Provider
    routing_active: bool
    changed_by: str | None
    changed_at: datetime | None
    reason: str | None


class RoutesView(BaseModel):
    """Every provider's routing."""

    providers: list[RouteView]


class RouteChangeView(RouteView):
    """A provider's routing after the lever."""

    changed: bool


class CardRangeChangeView(BaseModel):
    """A card range after the lever; who, when and why are absent for one that was never blocked."""

    card_range: str
    blocked: bool
    changed_by: str = ""
    changed_at: datetime = datetime.min
    reason: str = ""
    changed: bool


class RiskView(BaseModel):
    """What risk sees and blocks."""

    window_seconds: int
    autoblock: bool
    blocked: list[CardRange]
    busiest: list[Activity]


class DeadLettersView(BaseModel):
    """How many messages are set aside, by queue and reason."""

    queue: Queue
    reason: str
    depth: int
    observed_at: datetime


class ReplayView(BaseModel):
    """A request to move dead letters back."""

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
    """A replay after the lever."""

    changed: bool


class SetAsideView(BaseModel):
    """What is set aside, and the latest requests to move it back."""

    dead_letters: list[DeadLettersView]
    replays: list[ReplayView]


class ProgressView(BaseModel):
    """How far reconciliation is with a provider."""

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
    """One open break; `movement` and `sequence` say where the settlement report has it."""

    id: UUID
    operation_id: UUID | None
    key: str
    movement: str
    sequence: int | None
    first_seen: datetime


class ReconciliationView(BaseModel):
    """How far reconciliation is, and what does not agree."""

    providers: list[ProgressView]
    open_breaks: list[BreakSumView]
    newest_breaks: list[BreakView]


class RefetchView(BaseModel):
    """How many reports of a provider are fetched again."""

    provider: Provider
    reports: int
    changed: bool


class RepairAwaitsView(BaseModel):
    """Nothing is given back before a second person has approved; then the same is asked again."""

    provider: Provider
    awaits: Literal["approval"]
    approval_id: UUID
    changed: Literal[False]


class RepairView(BaseModel):
    """What was given back, in minor units by currency."""

    provider: Provider
    refunded: int
    minor_units: dict[str, int]
    changed: bool
