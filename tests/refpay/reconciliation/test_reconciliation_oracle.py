"""The oracle reads from the real view which report a fee or an exchange comes from, and holds it to that."""

from typing import TYPE_CHECKING

import pytest

from moneypath.oracle import DiscrepancyKind, PostingLine, ReportTaken, find_discrepancies, read_postings
from moneypath.oracle.report_checks import check_exchanges_are_made, check_fees_are_taken

from .bench import FIRST, capture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .bench import Bench

CHECKS = (check_fees_are_taken, check_exchanges_are_made)


async def lines_of(bench: "Bench") -> "Sequence[PostingLine]":
    """Read the ledger as the oracle's own role does."""
    return await read_postings(bench.db.server.dsn("refpay_oracle", bench.db.name))


def found(lines: "Sequence[PostingLine]", *reports: ReportTaken) -> list[DiscrepancyKind]:
    """Return what the oracle finds in fees and exchanges."""
    return [one.kind for one in find_discrepancies(lines, (), (), reports=reports, checks=CHECKS)]


async def test_fees_and_exchanges_are_held_to_their_report(bench: "Bench") -> None:
    """As the report takes them they are whole; a hundred times as much, another report, and none are not."""
    euros, yen = capture(), capture(currency="JPY", amount=500)
    await bench.have(euros, yen)
    bench.north.publish(0, [euros.row(settled=("JPY", 1635)), yen.row()])
    await bench.round(25)
    lines = await lines_of(bench)
    assert {(line.provider, line.report) for line in lines if line.entry_kind in ("fee", "fx")} == {
        ("north", str(FIRST))
    }
    fees = (("EUR", euros.row().fee), ("JPY", yen.row().fee))
    taken = ReportTaken("north", FIRST, 0.0, fees, (("EUR", -1000), ("JPY", 1635)))
    assert found(lines, taken) == []
    cheap = taken._replace(fees=tuple((currency, minor * 100) for currency, minor in fees))
    assert found(lines, cheap) == [DiscrepancyKind.FEE_DIFFERS]
    assert found(lines, taken._replace(exchanged=(("EUR", -1000), ("JPY", 1634)))) == [
        DiscrepancyKind.EXCHANGE_DIFFERS
    ]
    assert set(found(lines)) == {DiscrepancyKind.FEE_DIFFERS, DiscrepancyKind.EXCHANGE_DIFFERS}


@pytest.mark.parametrize("change", [-3, 4])
async def test_a_correction_stands_under_the_report_that_it_corrects(bench: "Bench", change: int) -> None:
    """Both entries have its number, and come to what it says now."""
    one = capture()
    await bench.have(one)
    bench.north.publish(0, [one.row()])
    await bench.round(25)
    bench.north.publish(0, [one.row(fee=one.row().fee + change)])
    await bench.round(25)
    lines = await lines_of(bench)
    before = ReportTaken("north", FIRST, 1.0, (("EUR", one.row().fee),))
    after = ReportTaken("north", FIRST, 2.0, (("EUR", one.row().fee + change),))
    assert len({line.entry_id for line in lines if line.entry_kind == "fee"}) == 2
    assert found(lines, before, after) == []
    assert found(lines, before) == [DiscrepancyKind.FEE_DIFFERS]


async def test_whose_payment_it_is_stands_in_the_view(bench: "Bench") -> None:
    """The merchant of a capture is the one whose account it credits."""
    one = capture()
    await bench.have(one)
    posted = [line for line in await lines_of(bench) if line.entry_kind == "posting"]
    assert posted
    assert {f"merchant_payable:{line.merchant}" for line in posted} <= {line.account for line in posted}
