"""A series against a witness: what is equal, what may be lost, and what is said of the rest."""

import pytest

from moneypath.oracle.metric_totals import (
    ComparedTotal,
    ExpectedTotal,
    SeenTotals,
    Witness,
    compare_totals,
    most_within,
)

FAMILIES = frozenset(("payments", "captured", "fees", "attempts"))


def compared(least: int, most: int | None, seen: float | None, lost: int = 0) -> ComparedTotal:
    return ComparedTotal("fees north", "ledger", least, most, seen, lost)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (compared(5, 5, 4.0), "fees north: 4 counted, expected 5 by ledger"),
        (
            compared(5, 7, 1234567890123456.0),
            "fees north: 1234567890123456 counted, expected 5 to 7 by ledger",
        ),
        (compared(5, None, 4.5), "fees north: 4.5 counted, expected 5 to more by ledger"),
        (compared(5, 5, None), "fees north: no series at all, expected 5 by ledger"),
        (
            compared(5, 5, 1.0, 2),
            "fees north: 1 counted, expected 5 by ledger (2 may be lost with processes that died)",
        ),
    ],
)
def test_a_difference_is_told_in_one_sentence(row: ComparedTotal, told: str) -> None:
    """The series, what was counted, who expects what, and what a death excuses."""
    assert row.describe() == told
    assert not row.equal


def test_a_series_is_nothing_or_not_known() -> None:
    """Others of its family exist: then it did not grow. Without a family nobody knows."""
    seen = SeenTotals({"fees south": 3.0}, frozenset(("fees",)))
    assert (seen.of("fees south"), seen.of("fees north"), seen.of("captured EUR")) == (3.0, 0.0, None)


def test_what_nobody_expects_has_to_be_nothing() -> None:
    """Each row names the witness that should have known of it."""
    seen = SeenTotals(
        {"payments live refund declined": 1.0, "attempts west query": 2.0, "fees west": 3.0,
         "captured EUR": 4.0, "captured USD": 0.0},
        FAMILIES,
        deaths=2,
    )  # fmt: skip
    known = ExpectedTotal("captured EUR", Witness.CLIENTS, 4, 4, 7)
    rows = compare_totals([known], seen, ended=1)
    assert rows == (
        ComparedTotal("captured EUR", "clients", 4, 4, 4.0, 7),
        ComparedTotal("attempts west query", "providers", 0, 0, 2.0),
        ComparedTotal("fees west", "ledger", 0, 0, 3.0),
        ComparedTotal("payments live refund declined", "clients", 0, 0, 1.0),
    )
    assert [row.equal for row in rows] == [True, False, False, False]


def test_nothing_happens_within_no_time() -> None:
    """The most within an interval is a sum of weights; of no moments it is 0."""
    assert most_within([], 1.0) == 0
    assert most_within([(3.0, 5), (1.0, 1), (2.0, 2), (9.0, 4)], 1.0) == 7
