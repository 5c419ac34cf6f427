"""What a provider charges by its reports is in the ledger, once, and by what a correction changes of it."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest

from refpay.money import MAXIMUM_MINOR, Currency
from refpay.providers.reports import MovementKind, ReportInvalid, ReportLine, SettlementReport
from refpay.reconciliation.report_entries import report_entries

from .bench import START, capture

if TYPE_CHECKING:
    from .bench import Bench


async def fees(bench: "Bench") -> dict[tuple[str, str], int]:
    """Return what the ledger has of fees and, without the payments' own postings, of receivables."""
    rows = await bench.db.rows(
        "SELECT account, currency, sum(amount_minor) AS minor FROM ledger.line WHERE kind = 'fee'"
        " GROUP BY account, currency HAVING sum(amount_minor) <> 0"
    )
    return {(row["account"], row["currency"]): int(row["minor"]) for row in rows}


async def test_a_report_books_its_fees_once(bench: "Bench") -> None:
    """By currency, out of what the provider owes us; served again, and read again, it adds nothing."""
    two = [capture(), capture(currency="JPY", amount=500), capture(second=6)]
    await bench.have(*two)
    bench.north.publish(0, [one.row() for one in two])
    for _ in range(3):
        await bench.round(25)
    euros, yen = (two[0].row().fee + two[2].row().fee), two[1].row().fee
    assert await fees(bench) == {
        ("provider_fees:north", "EUR"): euros,
        ("provider_receivable:north", "EUR"): -euros,
        ("provider_fees:north", "JPY"): yen,
        ("provider_receivable:north", "JPY"): -yen,
    }


async def test_the_fees_of_a_report_count_as_a_ledger_write(bench: "Bench") -> None:
    """Refused or committed, once for each report with fees; a report that changes nothing writes nothing."""

    def writes() -> dict[str, float]:
        text = bench.counters.recorder.render().decode()
        found = re.findall(r'moneypath_ledger_writes_total{kind="fee",outcome="(\w+)"} (\S+)', text)
        return {outcome: float(count) for outcome, count in found if float(count)}

    one = capture()
    await bench.have(one)
    bench.north.publish(0, [one.row()])
    refuse = "ALTER TABLE ledger.entry ADD CONSTRAINT no_fees CHECK (kind <> 'fee') NOT VALID"
    await bench.db.rows(refuse, role="postgres")
    with pytest.raises(asyncpg.CheckViolationError):
        await bench.round(25)
    assert writes() == {"rejected": 1}
    await bench.db.rows("ALTER TABLE ledger.entry DROP CONSTRAINT no_fees", role="postgres")
    for _ in range(2):
        await bench.round(25)
    assert writes() == {"rejected": 1, "committed": 1}


@pytest.mark.parametrize("change", [-3, 4, 0])
async def test_a_correction_books_the_difference(bench: "Bench", change: int) -> None:
    """More, less, or the same fee for something else; what was booked stays as it was."""
    one = capture()
    await bench.have(one)
    row = one.row()
    bench.north.publish(0, [row])
    await bench.round(25)
    bench.north.publish(0, [replace(row, fee=row.fee + change, reference="changed")])
    await bench.round(26)
    await bench.round(27)
    entries = await bench.db.rows("SELECT amounts_minor FROM ledger.entry WHERE kind = 'fee' ORDER BY id")
    assert [abs(entry["amounts_minor"][0]) for entry in entries] == [
        row.fee,
        *([abs(change)] if change else []),
    ]
    assert (await fees(bench))["provider_fees:north", "EUR"] == row.fee + change


async def test_a_report_that_is_refused_books_nothing(bench: "Bench") -> None:
    """Cut off on its way: no line of it is taken, and no fee."""
    one = capture()
    await bench.have(one)
    bench.north.publish(0, [one.row()])
    bench.north.truncated = True
    await bench.round(25)
    assert await fees(bench) == {}


def test_fees_beyond_any_account_are_refused() -> None:
    """Each fits, and their sum does not."""
    line = ReportLine("k", "m", "r", MovementKind.CAPTURE, 1, Currency.EUR, MAXIMUM_MINOR, START)
    report = SettlementReport(1, START, START + timedelta(seconds=10), (line, line))
    with pytest.raises(ReportInvalid, match="sum of fee in EUR"):
        list(report_entries("north", report, (), revision=1, now=START))
