"""What four teams did: sales, refunds, payouts and disputes, from which each writes its own records."""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
DIGITS = {"EUR": 2, "KWD": 3, "ETH": 18}
PROVIDERS = ("north", "south")
MERCHANTS = ("bakery", "florist", "garage")


@dataclass(frozen=True, slots=True)
class Event:
    """One movement of money; `minor` is in the smallest unit of its currency.

    `of` is the number of the sale that a refund or a dispute is of.
    """

    number: int
    kind: str
    provider: str
    order: str
    merchant: str
    minor: int
    currency: str
    at: datetime
    of: int = 0

    @property
    def asked(self) -> str:
        return f"ask-{self.number}"

    @property
    def key(self) -> str:
        """What both sides call it; a dispute is named by its case."""
        return f"case-{self.number}" if self.kind == "chargeback" else f"key-{self.number}"

    @property
    def own(self) -> str:
        """What the provider calls it."""
        return self.key if self.kind == "chargeback" else f"prov-{self.number}"

    @property
    def parent(self) -> str | None:
        return f"prov-{self.of}" if self.of else None

    @property
    def fee(self) -> int:
        """What the provider keeps of a sale: 1 %."""
        return self.minor // 100 if self.kind == "capture" else 0

    @property
    def major(self) -> Decimal:
        return Decimal(self.minor).scaleb(-DIGITS[self.currency])


def trade(seed: int, sales: int = 12) -> list[Event]:
    """Return what a small market did; each seed has its own, with all kinds in it."""
    return list(_trade(random.Random(seed), sales))  # noqa: S311 - tests


def _trade(chance: random.Random, sales: int) -> Iterator[Event]:
    number, owed = 0, dict[tuple[str, str, str], int]()
    for sale in range(sales):
        number += 1
        taken = number
        merchant, currency = chance.choice(MERCHANTS), chance.choice(tuple(DIGITS))
        minor, at = chance.randrange(1_000, 10**6), BEGAN + timedelta(minutes=sale)
        provider = PROVIDERS[sale % 2]
        order = f"order-{sale}"
        yield Event(number, "capture", provider, order, merchant, minor, currency, at)
        kind = ("", "refund", "", "chargeback")[sale % 4]
        account = (provider, merchant, currency)
        owed[account] = owed.get(account, 0) + minor
        if kind:
            number += 1
            back = chance.randrange(1, minor)
            owed[account] -= back
            at += timedelta(seconds=20)
            yield Event(number, kind, provider, order, merchant, back, currency, at, taken)
    for (provider, merchant, currency), minor in sorted(owed.items()):
        number += 1
        at = BEGAN + timedelta(days=1, seconds=number)
        yield Event(number, "payout", provider, f"payout-{number}", merchant, minor, currency, at)


def write_answers(file: Path, events: Iterable[Event]) -> None:
    """Write what callers were told: of disputes nothing, of a declined order that it was declined."""
    lines = [
        {
            "idempotency_key": event.asked, "merchant_reference": event.order, "kind": event.kind,
            "beneficiary": event.merchant, "currency": event.currency, "outcome": "succeeded",
            "at": event.at.isoformat(), "amount": event.minor,
        }
        for event in events
        if event.kind != "chargeback"
    ]  # fmt: skip
    no = {**lines[0], "idempotency_key": "ask-0", "merchant_reference": "order-no", "outcome": "declined"}
    file.write_text("".join(json.dumps(line) + "\n" for line in [*lines, no]), encoding="utf-8")
