"""What a provider owes us more, or less, by its report: for fees and for what it settles in another currency.

A fee is in the currency of its capture, whatever that is settled in.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from refpay.ledger.entries import Entry, EntryKind, report_entry
from refpay.money import MAXIMUM_MINOR, Currency
from refpay.providers.reports import Report, ReportInvalid, ReportLine

_REPORTS: Final = UUID("0b6f4e0c-6a3d-5d0e-9a3f-6f7d6c1f2b11")


def report_entries(
    provider: str, report: Report, booked: Sequence[ReportLine], *, revision: int, now: datetime
) -> Iterator[Entry]:
    """Yield what a revision has more, or less, than the lines `booked`: a FEE a currency, an FX a pair.

    Each belongs to the revision, by an id made of both: the ledger refuses it a second time. Raises
    ReportInvalid for sums that no account can hold.
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
                raise ReportInvalid(f"the {kind} in {currency} sums up to more than an account can hold")
        if any(owed.values()):
            name = uuid5(_REPORTS, " ".join((provider, f"{report.sequence} {revision}", *currencies)))
            yield report_entry(kind, name, provider, owed, now)
