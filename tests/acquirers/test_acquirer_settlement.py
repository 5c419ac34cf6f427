"""What a report states: fees to the minor unit, totals, misstatements, and the same in both dialects."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquirers.dialects.north import render_report
from acquirers.dialects.south import render_file
from acquirers.faults import Misstatement
from acquirers.money import EXPONENTS, LARGEST_MINOR, read_major, write_major
from acquirers.operations import Entry, Kind, Status
from acquirers.settlement import (
    Exchange,
    Fees,
    Line,
    Period,
    Report,
    misstate,
    report_line,
    settle,
    write_instant,
)

if TYPE_CHECKING:
    from tests.acquirers.conftest import Statement

FEES = Fees(140, {"EUR": 10, "USD": 11, "JPY": 16, "KWD": 35})
LINE = Line("key", "order", "cap_1", Kind.CAPTURE, 1234, "EUR", 27, 1.5)
LABELS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)
LINES = st.builds(
    Line,
    key=LABELS,
    reference=LABELS,
    id=LABELS,
    kind=st.sampled_from([Kind.CAPTURE, Kind.REFUND]),
    amount_minor=st.integers(1, LARGEST_MINOR),
    currency=st.sampled_from(list(EXPONENTS)),
    fee_minor=st.integers(0, 10**6),
    at=st.floats(10, 20, exclude_max=True),
    settled=st.none() | st.tuples(st.sampled_from(list(EXPONENTS)), st.integers(1, LARGEST_MINOR)),
)


def entry(kind: Kind, amount: int, currency: str = "EUR") -> Entry:
    """Return an entry of the book."""
    status = Status.CAPTURED if kind is Kind.CAPTURE else Status.REFUNDED
    return Entry(
        1,
        "key",
        "f",
        kind,
        "order",
        amount,
        currency,
        "411111",
        status,
        "id",
        "parent",
        None,
        1.5,
        1,
    )


@pytest.mark.parametrize(
    ("amount", "currency", "fee"),
    [
        (1, "EUR", 10), (35, "EUR", 10), (36, "EUR", 11), (107, "EUR", 11), (108, "EUR", 12),
        (10_000, "USD", 151), (5_000, "JPY", 86), (12_345, "KWD", 208),
        (LARGEST_MINOR, "EUR", 129_127_208_515_966_871),
    ],
)  # fmt: skip
def test_a_capture_costs_a_fixed_part_and_basis_points(amount: int, currency: str, fee: int) -> None:
    """The share is rounded half up in integers, so that no float loses a unit of a large amount."""
    assert FEES.fee_minor(entry(Kind.CAPTURE, amount, currency)) == fee
    assert report_line(entry(Kind.CAPTURE, amount, currency), FEES).fee_minor == fee
    assert FEES.fee_minor(entry(Kind.REFUND, amount, currency)) == 0


@pytest.mark.parametrize(
    ("amount", "currency", "into", "rate", "settled"),
    [
        (1234, "EUR", "USD", "1.0825", 1336),  # 1335.805
        (1234, "EUR", "JPY", "163.5", 2018),  # 12.34 EUR are 2017.59 JPY
        (2018, "JPY", "EUR", "0.0061", 1231),  # 12.3098 EUR
        (10, "JPY", "KWD", "0.00205", 21),  # 0.0205 KWD: the half goes up
        (1, "KWD", "JPY", "493", 1),  # 0.493 JPY: not nothing
        (LARGEST_MINOR, "EUR", "USD", "1", LARGEST_MINOR),
        (LARGEST_MINOR, "EUR", "KWD", "1", LARGEST_MINOR),
        (2**60 + 1, "USD", "EUR", "1", 2**60 + 1),
    ],
)
def test_what_is_settled_is_exact(amount: int, currency: str, into: str, rate: str, settled: int) -> None:
    """A rate is of major units, whatever decimals either currency has, and no float loses a unit."""
    line = report_line(entry(Kind.REFUND, amount, currency), FEES)
    exchanges = {currency: Exchange(into, Fraction(rate))}
    assert settle(line, exchanges) == replace(line, settled=(into, settled))
    assert settle(line, {into: Exchange(currency, Fraction(1))}) == line


@given(
    amount=st.integers(1, 10**15),
    pair=st.permutations(sorted(EXPONENTS)),
    rate=st.fractions(Fraction(1, 10**6), 10**6),
)
def test_a_settled_amount_is_off_by_half_a_unit_at_most(amount: int, pair: list[str], rate: Fraction) -> None:
    """Or it is the one unit that there has to be."""
    into, currency = pair[:2]
    settled = Exchange(into, rate).settled_minor(amount, currency)
    exact = Fraction(amount, 10 ** EXPONENTS[currency]) * rate * 10 ** EXPONENTS[into]
    assert settled == min(LARGEST_MINOR, settled)
    assert abs(settled - exact) <= Fraction(1, 2) or settled in (1, LARGEST_MINOR)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (Misstatement.AMOUNT, [{"amount_minor": 1111}]),
        (Misstatement.CURRENCY, [{"currency": "USD"}]),
        (Misstatement.FEE, [{"fee_minor": 40}]),
        (Misstatement.MISSING, []),
        (Misstatement.DUPLICATE, [{}, {}]),
    ],
)
def test_a_misstatement_changes_one_thing(what: Misstatement, expected: list[dict[str, Any]]) -> None:
    """Amount, currency or fee differ alone; a missing line is none, a doubled one is twice the same."""
    names = Line.__slots__
    changes = [
        {name: getattr(line, name) for name in names if getattr(line, name) != getattr(LINE, name)}
        for line in misstate(LINE, what)
    ]
    assert changes == expected


@given(line=LINES, what=st.sampled_from(Misstatement))
def test_every_misstatement_is_one(line: Line, what: Misstatement) -> None:
    """Whatever the line, what is served in its place differs from it and could be served."""
    served = misstate(line, what)
    assert served != (line,)
    for one in served:
        assert 1 <= one.amount_minor <= LARGEST_MINOR
        assert one.currency in EXPONENTS


@given(lines=st.lists(LINES, max_size=8))
def test_both_dialects_state_the_same(read: "Callable[[str, bytes], Statement]", lines: list[Line]) -> None:
    """Read back, both have every line once, in order, and control totals that agree with them."""
    report = Report(Period(1, 10), tuple(lines))
    north, south = read("north", render_report(report)), read("south", render_file(report))
    assert north == south
    assert north.number == 1
    assert north.bounds == ("1970-01-01T00:00:10Z", "1970-01-01T00:00:20Z")
    stated = [
        (row["key"], row["reference"], row["id"], row["kind"], row["amount"], row["currency"], row["fee"])
        for row in north.lines
    ]
    assert stated == [
        (one.key, one.reference, one.id, one.kind, one.amount_minor, one.currency, one.fee_minor)
        for one in lines
    ]
    settled = [(row.get("settled_currency"), row.get("settled_amount")) for row in north.lines]
    assert settled == [one.settled or (None, None) for one in lines]
    assert all("1970-01-01T00:00:10" <= row["at"] < "1970-01-01T00:00:20" for row in north.lines)
    assert set(north.totals) == {one.currency for one in lines}
    for currency, totals in north.totals.items():
        mine = [row for row in north.lines if row["currency"] == currency]
        sums = {kind: sum(row["amount"] for row in mine if row["kind"] == kind) for kind in Kind}
        fees = sum(row["fee"] for row in mine)
        assert totals == (len(mine), sums[Kind.CAPTURE], sums[Kind.REFUND], fees)


def test_instants_are_cut_to_milliseconds() -> None:
    """Rounding up could move a line behind the end of its period."""
    assert write_instant(1_767_225_600) == "2026-01-01T00:00:00Z"
    assert write_instant(1_767_225_600.25) == "2026-01-01T00:00:00.250Z"
    assert write_instant(1_767_225_601.9999998) == "2026-01-01T00:00:01.999Z"


@given(minor=st.integers(1, LARGEST_MINOR), currency=st.sampled_from(list(EXPONENTS)))
def test_major_units_keep_every_minor_unit(minor: int, currency: str) -> None:
    """What is written is read back the same, and has all decimals of the currency."""
    text = write_major(minor, currency)
    assert read_major(text, currency) == minor
    assert len(text.partition(".")[2]) == EXPONENTS[currency]


def test_a_report_is_due_one_period_after_its_end() -> None:
    """Start and end are aligned to Unix time."""
    period = Period(883_612_800, 2)
    assert (period.start, period.end, period.due) == (1_767_225_600, 1_767_225_602, 1_767_225_604)
    empty = json.loads(render_report(Report(period, ())))
    assert (empty["sequence"], empty["lines"], empty["totals"]) == (883_612_800, [], {})
