"""Bugs on purpose in how merchants are paid what they are owed."""

from typing import Any

from refpay.identity import approvals
from refpay.payments import repository
from refpay.payments.findings import NOT_DONE, NOT_KNOWN
from refpay.payments.intents import Intent
from refpay.payments.model import OperationKind
from refpay.payments.service import Payments
from simulation.planting import Swap, bug, nothing


@bug
def payout_reference_is_free() -> list[Swap]:
    """A payout is made whether or not there is one under its reference."""

    async def free(*_arguments: Any) -> bool:
        return False

    return [(repository, "is_paid_out", free)]


@bug
def payout_is_locked_too_late() -> list[Swap]:
    """What is owed is read first, and other payouts are kept waiting only then."""
    lock, insert = repository.lock_payouts, repository.insert_payout

    async def insert_locked(connection: Any, payout: Any) -> None:
        await lock(connection, payout.merchant)
        await insert(connection, payout)

    return [(repository, "lock_payouts", nothing), (repository, "insert_payout", insert_locked)]


@bug
def payout_on_its_way_is_owed() -> list[Swap]:
    """What other payouts and refunds have promised counts as still there."""

    async def none_promised(*_arguments: Any) -> int:
        return 0

    return [(repository, "read_promised", none_promised)]


@bug
def payout_timeout_is_final() -> list[Swap]:
    """A payout that was not answered counts as one that did not happen."""
    call = Payments._call

    async def hasty(self: Payments, intent: Intent) -> Any:
        finding = await call(self, intent)
        is_payout = intent.operation.kind is OperationKind.PAYOUT
        return NOT_DONE if is_payout and finding is NOT_KNOWN else finding

    return [(Payments, "_call", hasty)]


@bug
def approval_is_not_used_up() -> list[Swap]:
    """A second person's word is good for more than one payout."""

    async def use(_connection: Any, approval: approvals.Approval, wish: approvals.Wish, _asker: Any) -> bool:
        return approval.is_for(wish, approvals.Stage.APPROVED)

    return [(approvals, "use", use)]
