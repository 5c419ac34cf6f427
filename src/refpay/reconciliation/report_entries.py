"""Make ledger entries for what a report changes: provider fees, and exchanges into a settlement currency.

A fee is in the currency of its capture, whatever that is settled in.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from refpay.ledger.entries import Entry, EntryKind, report_entry
from refpay.money import MAXIMUM_MINOR, Currency
from refpay.providers.reports import ReportInvalid, ReportLine, SettlementReport

_REPORTS: Final = UUID("0b6f4e0c-6a3d-5d0e-9a3f-6f7d6c1f2b11")


def report_entries(
    provider: str, report: SettlementReport, booked: Sequence[ReportLine], *, revision: int, now: datetime
) -> Iterator[Entry]:
    """Yield the entries for what a revision changes of the lines `booked`.

    There is one FEE per currency and one FX per pair. The id of each is made of report and revision, so the
    ledger refuses it a second time. Raises ReportInvalid for sums that no account can hold.
    """
    found: defaultdict[tuple[Currency, ...], Counter[Currency]] = defaultdict(Counter)
    for change, lines in ((1, report.lines), (-1, booked)):
        for line in lines:
            found[line.currency,][line.currency] -= change * line.fee_minor
            if settled := line.settled:
                owed = found[line.currency, settled.currency]
                owed[line.currency] -= change * line.signed_minor
                owed[settled.currency] += change * line.sign * settled.amount_minor
    for currencies, owed in sorted(found.items()):
        kind = EntryKind.FEE if len(currencies) == 1 else EntryKind.FX
        for currency, minor in owed.items():
            if abs(minor) > MAXIMUM_MINOR:
                raise ReportInvalid(f"The sum of {kind} in {currency} is more than an account can hold.")
        if any(owed.values()):
            name = uuid5(_REPORTS, " ".join((provider, f"{report.sequence} {revision}", *currencies)))
            yield report_entry(kind, name, provider, owed, now)
