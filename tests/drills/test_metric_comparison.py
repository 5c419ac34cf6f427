"""What is compared stays readable in the event log, whatever the amounts are."""

from pathlib import Path

import pytest

from moneypath.drills.metric_comparison import MetricComparison
from moneypath.incidents.events import EventLog
from moneypath.oracle.metric_totals import ComparedTotal


@pytest.mark.parametrize(
    "amount",
    [25_557_849, 4_111_111_111_111_111, 0, 3_492_891_590],
    ids=["two halves of a card number", "a card number", "none", "fees"],
)
def test_no_amount_is_masked_as_a_card_number(tmp_path: Path, amount: int) -> None:
    """The log masks digits that are a card's, also when neighbours together are: these are counts."""
    row = ComparedTotal("captured EUR", "ledger", amount, amount, float(amount), 1)
    log = EventLog(tmp_path / "events.jsonl")
    MetricComparison((row, ComparedTotal("fees north", "ledger", 1, None, None))).record(log)
    log.close()
    (event,) = log.events
    assert MetricComparison.read(event.payload).rows == (
        row,
        ComparedTotal("fees north", "ledger", 1, None, None),
    )
