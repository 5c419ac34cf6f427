"""Seeded bugs in payouts to merchants."""

from typing import Any

from proofs.simulation.seeded_bugs import Patch, bug, nothing

from refpay.identity import approvals
from refpay.payments import repository
from refpay.payments.intents import Intent
from refpay.payments.model import OperationKind
from refpay.payments.outcomes import NOT_DONE, NOT_KNOWN
from refpay.payments.service import Payments


@bug
def payout_reference_is_free() -> list[Patch]:
    """A payout is made even if its reference was used before."""

    async def free(*_arguments: Any) -> bool:
        return False

    return [(repository, "is_paid_out", free)]


@bug
def payout_is_locked_too_late() -> list[Patch]:
    """The balance is read before other payouts are locked out."""
    lock, insert = repository.lock_payouts, repository.insert_payout

    async def insert_locked(connection: Any, payout: Any) -> None:
        await lock(connection, payout.merchant)
        await insert(connection, payout)

    return [(repository, "lock_payouts", nothing), (repository, "insert_payout", insert_locked)]


@bug
def payout_on_its_way_is_owed() -> list[Patch]:
    """The amounts of payouts and refunds in flight count as available."""

    async def none_promised(*_arguments: Any) -> int:
        return 0

    return [(repository, "read_in_flight_debits", none_promised)]


@bug
def payout_timeout_is_final() -> list[Patch]:
    """A payout without an answer counts as one that did not happen."""
    call = Payments._call

    async def hasty(self: Payments, intent: Intent) -> Any:
        outcome = await call(self, intent)
        is_payout = intent.operation.kind is OperationKind.PAYOUT
        return NOT_DONE if is_payout and outcome is NOT_KNOWN else outcome

    return [(Payments, "_call", hasty)]


@bug
def approval_is_not_used_up() -> list[Patch]:
    """One approval is good for more than one payout."""

    async def use(
        _connection: Any, approval: approvals.Approval, requested: approvals.ApprovalCommand, _requester: Any
    ) -> bool:
        return approval.is_for(requested, approvals.ApprovalStatus.APPROVED)

    return [(approvals, "use", use)]
