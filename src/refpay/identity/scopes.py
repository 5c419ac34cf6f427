"""All that can be allowed, what is never allowed together, and to whom what is allowed."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from refpay.identity.errors import ScopeMissing


class Scope(StrEnum):
    """One right; reading, moving money and operating the service are apart."""

    PAYMENTS_AUTHORIZE = "payments:authorize"
    PAYMENTS_CAPTURE = "payments:capture"
    PAYMENTS_REFUND = "payments:refund"
    PAYMENTS_VOID = "payments:void"
    PAYMENTS_READ = "payments:read"
    PAYOUTS_CREATE = "payouts:create"
    OPERATIONS_READ = "operations:read"
    OPERATIONS_ROUTE = "operations:route"
    OPERATIONS_RISK = "operations:risk"
    OPERATIONS_REPLAY = "operations:replay"
    OPERATIONS_REPAIR = "operations:repair"
    APPROVALS_DECIDE = "approvals:decide"
    AUDIT_READ = "audit:read"
    LEDGER_READ = "ledger:read"
    TRAFFIC_CANARY = "traffic:canary"


# What a token holds if its client asks for nothing in particular, as far as the client has it.
READING: Final = frozenset({Scope.PAYMENTS_READ, Scope.OPERATIONS_READ, Scope.AUDIT_READ, Scope.LEDGER_READ})
PAYING: Final = frozenset(
    {Scope.PAYMENTS_AUTHORIZE, Scope.PAYMENTS_CAPTURE, Scope.PAYMENTS_REFUND, Scope.PAYMENTS_VOID}
    | {Scope.PAYOUTS_CREATE}
)
# Steering the service; never in one token with paying, not even on request.
OPERATING: Final = frozenset(
    {Scope.OPERATIONS_ROUTE, Scope.OPERATIONS_RISK, Scope.OPERATIONS_REPLAY, Scope.OPERATIONS_REPAIR}
    | {Scope.APPROVALS_DECIDE}
)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: its name is also the merchant on whose behalf it pays."""

    name: str
    scopes: frozenset[Scope]

    def require(self, scope: Scope) -> None:
        """Raise ScopeMissing unless the scope is held."""
        if scope not in self.scopes:
            raise ScopeMissing(f"scope is missing: {scope}")
