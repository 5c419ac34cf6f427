"""Define the scopes, which of them never go together, and the principal that holds them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from refpay.identity.errors import ScopeMissing


class Scope(StrEnum):
    """One right. Reading, moving money and operating the service are separate."""

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


# The scopes of a token whose client asks for none, as far as the client has them.
READING: Final = frozenset({Scope.PAYMENTS_READ, Scope.OPERATIONS_READ, Scope.AUDIT_READ, Scope.LEDGER_READ})
PAYING: Final = frozenset(
    {Scope.PAYMENTS_AUTHORIZE, Scope.PAYMENTS_CAPTURE, Scope.PAYMENTS_REFUND, Scope.PAYMENTS_VOID}
    | {Scope.PAYOUTS_CREATE}
)
# The scopes for operator actions. No token has them together with those that move money.
OPERATING: Final = frozenset(
    {Scope.OPERATIONS_ROUTE, Scope.OPERATIONS_RISK, Scope.OPERATIONS_REPLAY, Scope.OPERATIONS_REPAIR}
    | {Scope.APPROVALS_DECIDE}
)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. Its name is also the merchant on whose behalf it pays."""

    name: str
    scopes: frozenset[Scope]

    def require(self, scope: Scope) -> None:
        """Raise ScopeMissing if the principal does not have the scope."""
        if scope not in self.scopes:
            raise ScopeMissing(f"The token lacks the scope {scope}.")
