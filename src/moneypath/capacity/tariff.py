"""What captures cost by the declared fees, independent of what the build counts."""

from collections.abc import Iterable

from moneypath import oracle
from moneypath.capacity.counters import Window
from moneypath.path.costs import fee_micro_units
from moneypath.path.model import MoneyPath


def dearest_fees(path: MoneyPath, answers: Iterable[oracle.Acknowledgement], window: Window) -> float:
    """Return the fees of the captures that clients were told of in the window.

    They are in micro-units of the reporting currency. The client does not know which provider took a
    payment, so each is priced at the dearest.
    """
    fee_of = fee_micro_units(path.costs, path.currencies)
    total = 0
    seen: set[str] = set()
    for answer in answers:
        captured = answer.operation is oracle.Operation.CAPTURE and answer.outcome is oracle.Outcome.SUCCEEDED
        if not captured or answer.idempotency_key in seen:
            continue
        seen.add(answer.idempotency_key)
        if window.start < answer.at <= window.end:
            total += max(
                fee_of(provider, answer.currency, answer.amount_minor) for provider in path.provider_ids()
            )
    return float(total)
