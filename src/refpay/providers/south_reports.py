"""Settlement files of dialect south: CSV, decimal major units, a control record per currency, a trailer."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

from refpay.money import EXPONENTS, Currency, read_major
from refpay.providers.report_source import ReportSource, read_report
from refpay.providers.reports import MovementKind, ReportInvalid, SettlementReport
from refpay.providers.south import SouthAdapter

_KINDS: Final = {
    "S": MovementKind.CAPTURE,
    "R": MovementKind.REFUND,
    "B": MovementKind.CHARGEBACK,
    "W": MovementKind.CHARGEBACK_REVERSAL,
}
# The record types in their order, with their numbers of fields: header, details, control records, chargeback
# control records, trailer. A detail has two more fields if it is settled in another currency.
_FIELDS: Final = {"H": (4,), "D": (9, 11), "C": (6,), "B": (4,), "T": (2,)}
_SETTLED: Final = ("settled_currency", "settled_amount")
_DETAILS: Final = ("key", "reference", "id", "kind", "amount", "currency", "fee", "at", *_SETTLED)
_SUMS: Final = ("captured", "refunded", "fees", "charged_back", "reversed")


class SouthReports(ReportSource):
    """Reads the files of acquirers of dialect south."""

    path = "/gateway/settlement-files"
    credential = SouthAdapter.credential

    @staticmethod
    def read(body: bytes) -> SettlementReport:
        """Return the report in a served file."""
        try:
            # References may contain commas and quotes, so lines are split by the rules of CSV.
            rows = csv.reader(io.StringIO(body.decode("ascii"), newline=""), strict=True)
            content = _arrange([_require_form(row) for row in rows])
        except (ValueError, LookupError, csv.Error) as problem:
            raise ReportInvalid("the file is not CSV of the agreed records") from problem
        return read_report(content)


def _require_form(row: list[str]) -> list[str]:
    """Return a record, or raise for the first wrong one: millions of errors would take gigabytes."""
    if len(row) not in _FIELDS[row[0]]:
        raise ReportInvalid("a record is not of the agreed form")
    return row


def _arrange(rows: Sequence[list[str]]) -> dict[str, Any]:
    """Return the records in the form of dialect north. Raises ReportInvalid, ValueError or LookupError."""
    kinds = [row[0] for row in rows]
    if sorted(kinds, key="HDCBT".index) != kinds:
        raise ReportInvalid("a record is not in its place")
    records = {kind: [row[1:] for row in rows if row[0] == kind] for kind in _FIELDS}
    [(number, start, end)], [(count,)] = records["H"], records["T"]
    if _read_digits(count) != len(records["D"]):
        raise ReportInvalid("the trailer states another number of lines")
    controls, chargebacks = _by_currency(records["C"]), _by_currency(records["B"])
    if not chargebacks.keys() <= controls.keys():
        raise ReportInvalid("a currency has a control record of chargebacks alone")
    totals = {}
    for currency, (lines, *sums) in controls.items():
        amounts = [read_major(text, currency) for text in (*sums, *chargebacks.get(currency, ()))]
        totals[currency] = {"lines": _read_digits(lines), **dict(zip(_SUMS, amounts, strict=False))}
    details = [_describe(record) for record in records["D"]]
    return {"sequence": _read_digits(number), "from": start, "to": end, "lines": details, "totals": totals}


def _by_currency(records: Sequence[list[str]]) -> dict[Currency, list[str]]:
    found = {Currency(code): rest for code, *rest in records}
    if len(found) < len(records):
        raise ReportInvalid("a currency has two control records")
    return found


def _describe(record: Sequence[str]) -> dict[str, Any]:
    line: dict[str, Any] = dict(zip(_DETAILS, record, strict=False))
    currency = Currency(line["currency"])
    amounts = {name: read_major(line[name], currency) for name in ("amount", "fee")}
    if "settled_amount" in line:
        text, code = line["settled_amount"], line["settled_currency"]
        # Invalid text is refused like an amount of 0, an unknown currency before that.
        amounts["settled_amount"] = (read_major(text, Currency(code)) if code in EXPONENTS else 0) or 0
    return {**line, **amounts, "kind": _KINDS[line["kind"]], "currency": currency}


def _read_digits(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ReportInvalid("a number is not a whole one")
    return int(text)
