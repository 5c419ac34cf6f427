"""The bank's statement: one line for each order, in a file that only grows."""

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path


@dataclass(slots=True)
class Statement:
    """What a bank has done, by order. `file` is what the wallet's auditors read."""

    bank: str
    file: Path
    orders: dict[str, dict[str, str]] = field(default_factory=dict)
    _descriptor: int = -1

    def __post_init__(self) -> None:
        self._descriptor = os.open(self.file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for line in self.file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            self.orders[row["key"]] = row

    def write(self, order: str, kind: str, reference: str, amount: str, currency: str, status: str) -> None:
        """Write an order down, once."""
        if order in self.orders:
            return
        row = {
            "provider": self.bank,
            "key": order,
            "kind": kind,
            "reference": reference,
            "amount": amount,
            "currency": currency,
            "status": status,
            "provider_reference": f"{self.bank}-{len(self.orders) + 1}",
            "at": datetime.now(UTC).isoformat(),
        }
        os.write(self._descriptor, json.dumps(row).encode() + b"\n")
        self.orders[order] = row

    def taken(self, since: float, until: float) -> int:
        """Return how many orders were written down from `since` on and before `until`, in Unix seconds."""
        at = (datetime.fromisoformat(row["at"]).timestamp() for row in self.orders.values())
        return sum(since <= one < until for one in at)
