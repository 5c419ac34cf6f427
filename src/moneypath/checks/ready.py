"""Write a ready check as one SELECT."""

from moneypath.checks import ready_balances, ready_references
from moneypath.path.ready_checks import (
    BalanceIsSum,
    CaptureWithoutPosting,
    DuplicateReference,
    NegativeBalance,
    PostingWithoutCapture,
    ReadyCheck,
    ZeroSum,
)


def statement_of(ready: ReadyCheck) -> str:
    """Return the statement of a ready check; raises ValueError for a name or value that SQL cannot hold."""
    if isinstance(ready, ZeroSum):
        return ready_balances.zero_sum(ready)
    if isinstance(ready, BalanceIsSum):
        return ready_balances.balance_is_sum(ready)
    if isinstance(ready, NegativeBalance):
        return ready_balances.negative_balance(ready)
    if isinstance(ready, DuplicateReference):
        return ready_references.duplicate_reference(ready)
    if isinstance(ready, CaptureWithoutPosting):
        return ready_references.without_counterpart(ready.captures, ready.postings, ready.deadline_seconds)
    if isinstance(ready, PostingWithoutCapture):
        return ready_references.without_counterpart(ready.postings, ready.captures, ready.deadline_seconds)
    return ready_references.stuck_in_flight(ready)
