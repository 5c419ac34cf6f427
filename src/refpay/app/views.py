"""What answers look like, for the description: the rooms write the bytes, the tests compare."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from refpay.audit.events import SubjectKind
from refpay.money import Currency
from refpay.payments.model import OperationKind, OperationStatus, PaymentStatus

Provider = Literal["north", "south"]
Queue = Literal["notifications", "compliance_log"]
BreakClass = Literal["missing_ours", "missing_theirs", "amount", "currency", "fee", "duplicate", "status"]


NEVER = datetime.min


class _View(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WrongKey(_View):
    """A key of the request, and what is wrong with it."""

    key: str
    problem: str


class ProblemView(_View):
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


class OperationView(_View):
    """One instruction to a provider."""

    id: UUID
    kind: OperationKind
    status: OperationStatus
    amount_minor: int
    decline_code: str | None


class ListedPaymentView(_View):
    """A charge as it is listed; every amount is in minor units of its currency."""

    id: UUID
    merchant_reference: str
    status: PaymentStatus
    amount_minor: int
    currency: Currency
    captured_minor: int
    refunded_minor: int
    released_minor: int
    charged_back_minor: int
    provider: Provider
    created_at: datetime


class PaymentView(ListedPaymentView):
    """A charge and what was done at its provider."""

    operations: list[OperationView]


class PayoutView(_View):
    """Money on its way to a merchant, or there; the amount is in minor units of its currency."""

    id: UUID
    merchant_reference: str
    status: OperationStatus
    amount_minor: int
    currency: Currency
    provider: Provider
    created_at: datetime


class PaymentsView(_View):
    """A page, newest first; without `next` it is the last, and a short one may still have a next."""

    payments: list[ListedPaymentView]
    next: str | None


class BalanceView(_View):
    """What an account comes to in a currency, in minor units, debit positive."""

    account: str
    currency: Currency
    balance_minor: int


class BalancesView(_View):
    """A page in the order of accounts; without `next` it is the last."""

    as_of: datetime | None
    balances: list[BalanceView]
    next: str | None


class AuditEventView(_View):
    """One change: who, what, when, before and after; `seq` is the order of writing."""

    id: UUID
    seq: int
    at: datetime
    actor: str
    action: str
    subject_kind: SubjectKind
    subject_id: str
    before: dict[str, str | int | bool | None] | None
    after: dict[str, str | int | bool | None]
    correlation_id: str


class AuditView(_View):
    """A page, newest first; without `next` it is the last, and a short one may still have a next."""

    events: list[AuditEventView]
    next: str | None


class TokenView(_View):
    """A token, and what it is good for."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    scope: str


class KeyView(_View):
    """A public key (RFC 7517)."""

    model_config = ConfigDict(extra="allow")

    kty: str
    kid: str


class KeysView(_View):
    """The keys that tokens are signed with."""

    keys: list[KeyView]


class ApprovalView(_View):
    """What one person asked for and another one decides."""

    approval_id: UUID
    status: str
    action: str
    subject_kind: SubjectKind
    subject_id: str
    content: dict[str, Any]
    reason: str
    requested_by: str
    expires_at: datetime
    decided_by: str | None


class ApprovalsView(_View):
    """What waits for a second person."""

    approvals: list[ApprovalView]


class RouteView(_View):
    """Whether a provider gets new payments."""

    provider: Provider
    routing_active: bool
    changed_by: str | None
    changed_at: datetime | None
    reason: str | None


class RoutesView(_View):
    """Every provider's routing."""

    providers: list[RouteView]


class RouteChangeView(RouteView):
    """A provider's routing after the lever."""

    changed: bool


class CardRangeView(_View):
    """A card range that was ever blocked, and its last change."""

    card_range: str
    blocked: bool
    changed_by: str
    changed_at: datetime
    reason: str


class CardRangeChangeView(_View):
    """A card range after the lever; who, when and why are absent for one that was never blocked."""

    card_range: str
    blocked: bool
    changed_by: str = ""
    changed_at: datetime = NEVER
    reason: str = ""
    changed: bool


class ActivityView(_View):
    """What happened in a card range within the window; authorizations are the small ones."""

    card_range: str
    signals: int
    blocked: int
    authorizations: int
    declined: int


class RiskView(_View):
    """What risk sees and blocks."""

    window_seconds: int
    autoblock: bool
    blocked: list[CardRangeView]
    busiest: list[ActivityView]


class DeadLettersView(_View):
    """How many messages are set aside, by queue and reason."""

    queue: Queue
    reason: str
    depth: int
    observed_at: datetime


class ReplayView(_View):
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


class SetAsideView(_View):
    """What is set aside, and the latest requests to move it back."""

    dead_letters: list[DeadLettersView]
    replays: list[ReplayView]


class ProgressView(_View):
    """How far reconciliation is with a provider."""

    provider: Provider
    watermark: datetime | None
    next_due: datetime | None
    refused: int


class BreakSumView(_View):
    """Open breaks of one class and currency."""

    provider: Provider
    class_: BreakClass = Field(alias="class")
    currency: str
    breaks: int
    value_minor: int
    oldest: datetime


class BreakView(_View):
    """One open break; `movement` and `sequence` say where the settlement report has it."""

    id: UUID
    provider: Provider
    class_: BreakClass = Field(alias="class")
    key: str
    movement: str
    sequence: int | None
    currency: str
    value_minor: int
    first_seen: datetime


class ReconciliationView(_View):
    """How far reconciliation is, and what does not agree."""

    providers: list[ProgressView]
    open_breaks: list[BreakSumView]
    newest_breaks: list[BreakView]


class RefetchView(_View):
    """How many reports of a provider are fetched again."""

    provider: Provider
    reports: int
    changed: bool


class RepairAwaitsView(_View):
    """Nothing is given back before a second person has approved; then the same is asked again."""

    provider: Provider
    awaits: Literal["approval"]
    approval_id: UUID
    changed: Literal[False]


class RepairView(_View):
    """What was given back, in minor units by currency."""

    provider: Provider
    refunded: int
    minor_units: dict[str, int]
    changed: bool


class StatusView(_View):
    """How the process is."""

    status: Literal["alive", "ready"]


class DescriptionView(BaseModel):
    """This description."""

    openapi: str
