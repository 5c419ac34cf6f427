"""What a provider is expected to charge for a capture, and what its reports say that it charged.

A refund costs nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from refpay.costs import METHOD, CostModel
from refpay.ledger.entries import Account, Entry, Movement, fee_entry
from refpay.money import MAXIMUM_MINOR, Currency, Money
from refpay.providers.reports import Report, ReportInvalid

_REPORTS: Final = UUID("0b6f4e0c-6a3d-5d0e-9a3f-6f7d6c1f2b11")

# Provider, currency, amount in minor units -> fee in minor units of the same currency.
ExpectedFee = Callable[[str, str, int], int]


def agreed_fees(costs: CostModel) -> ExpectedFee:
    """Return the fees of the cost model; every payment of ours is by card."""

    def expected_fee(provider: str, currency: str, amount_minor: int) -> int:
        return costs.fee_minor(provider, METHOD, currency, amount_minor)

    return expected_fee


def fee_entries(
    provider: str, report: Report, booked: Mapping[Currency, int], *, revision: int, now: datetime
) -> Iterator[Entry]:
    """Yield what a report's revision charges more, or less, than `booked`: one entry a currency.

    Each belongs to the revision, by an id made of both: the ledger refuses it a second time. Raises
    ReportInvalid for fees that no account can hold.
    """
    charged: Counter[Currency] = Counter()
    charged.subtract(booked)
    for line in report.lines:
        charged[line.currency] += line.fee_minor
    for currency, minor in sorted(charged.items()):
        if abs(minor) > MAXIMUM_MINOR:
            raise ReportInvalid(f"the fees in {currency} sum up to more than an account can hold")
        if minor:
            name = uuid5(_REPORTS, f"{provider} {report.sequence} {revision} {currency}")
            movement = Movement(name, None, provider, "", Money(abs(minor), currency))
            yield fee_entry(movement, now, account=Account.PROVIDER_FEES, returned=minor < 0)
