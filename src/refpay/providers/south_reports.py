"""Settlement files of dialect south: CSV, decimal major units, a control record a currency, a trailer."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final

from refpay.money import Currency, read_major
from refpay.providers import report_parts as parts
from refpay.providers.reports import MovementKind, Report, ReportInvalid, ReportLine, ReportNotice

_PATH: Final = "/gateway/settlement-files"
_KINDS: Final = {
    "S": MovementKind.CAPTURE,
    "R": MovementKind.REFUND,
    "B": MovementKind.CHARGEBACK,
    "W": MovementKind.CHARGEBACK_REVERSAL,
}
_FIELDS: Final = {"H": 4, "D": 9, "C": 6, "B": 4, "T": 2}
# Records come in this order: the head once, the details, the control records and those of chargebacks,
# the trailer once.
_ORDER: Final = "HDCBT"


class SouthReports:
    """Reads the files of acquirers of dialect south."""

    def __init__(self, name: str, access: parts.ReportAccess) -> None:
        self.name = name
        self._access = access

    async def notices(self, *, after: int, limit: int) -> Sequence[ReportNotice]:
        """Return what is announced."""
        found = await self._access.listing(f"{_PATH}?after={after}&limit={limit}", "files")
        return parts.read_notices(found, after=after, limit=limit, sequence="number", digest="sha256")

    async def fetch(self, sequence: int) -> bytes:
        """Return a file as it is served."""
        return await self._access.report(f"{_PATH}/{sequence}")

    def read(self, body: bytes) -> Report:
        """Return what a served file says."""
        records = list(_records(body))
        heads, trailers = _only(records, "H"), _only(records, "T")
        if len(heads) != 1 or len(trailers) != 1 or records[-1] is not trailers[0]:
            raise ReportInvalid("the file does not begin with one head and end with one trailer")
        head = heads[0]
        lines = [_read_line(record) for record in _only(records, "D")]
        if parts.read_digits(trailers[0][1]) != len(lines):
            raise ReportInvalid("the trailer states another number of lines")
        chargebacks = _by_currency(records, "B")
        totals = {
            currency: _read_totals(record, chargebacks.pop(currency, None), currency)
            for currency, record in _by_currency(records, "C").items()
        }
        if chargebacks:
            raise ReportInvalid("a currency has a control record of chargebacks alone")
        parts.require_totals(lines, totals)
        return Report(
            parts.read_digits(head[1]), parts.read_instant(head[2]), parts.read_instant(head[3]), lines
        )


def _records(body: bytes) -> Iterator[list[str]]:
    place = 0
    try:
        # References may hold commas and quotes, so the format's own rules take the lines apart.
        for record in csv.reader(io.StringIO(body.decode("ascii"), newline=""), strict=True):
            kind = record[0] if record else ""
            if len(record) != _FIELDS.get(kind) or _ORDER.index(kind) < place:
                raise ReportInvalid("a record is not of the agreed form or not in its place")
            place = _ORDER.index(kind)
            yield record
    except (ValueError, csv.Error) as problem:
        raise ReportInvalid("the file is not CSV in ASCII") from problem


def _only(records: Sequence[list[str]], kind: str) -> list[list[str]]:
    return [record for record in records if record[0] == kind]


def _by_currency(records: Sequence[list[str]], kind: str) -> dict[Currency, list[str]]:
    controls = _only(records, kind)
    found = {parts.read_currency(record[1]): record for record in controls}
    if len(found) < len(controls):
        raise ReportInvalid("a currency has two control records")
    return found


def _read_line(record: Sequence[str]) -> ReportLine:
    currency = parts.read_currency(record[6])
    if record[4] not in _KINDS:
        raise ReportInvalid("a line has a kind that was not agreed on")
    return ReportLine(
        key=parts.read_label(record[1], "transactionRef"),
        movement=parts.read_label(record[3], "settlementId"),
        reference=parts.read_label(record[2], "orderRef"),
        kind=_KINDS[record[4]],
        amount_minor=parts.read_count(_read_amount(record[5], currency), least=1),
        currency=currency,
        fee_minor=parts.read_count(_read_amount(record[7], currency)),
        at=parts.read_instant(record[8]),
    )


def _read_totals(
    record: Sequence[str], chargebacks: Sequence[str] | None, currency: Currency
) -> parts.Totals:
    texts = (*record[3:6], *(chargebacks[2:4] if chargebacks else ()))
    return parts.Totals(parts.read_digits(record[2]), *(_read_amount(text, currency) for text in texts))


def _read_amount(text: str, currency: Currency) -> int:
    minor = read_major(text, currency)
    if minor is None:
        raise ReportInvalid(f"an amount is not a decimal number of {currency}")
    return minor
