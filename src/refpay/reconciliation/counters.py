"""Define what reconciliation counts."""

from collections.abc import Mapping
from typing import Protocol

from moneypath.telemetry.integrations.ledger import LedgerKind, LedgerOutcome, LedgerWrite


class ReconciliationCounters(Protocol):
    """Counts the results of rounds as soon as they are committed."""

    def count_rows(self, provider: str, *, matched: int, broken: int) -> None:
        """Count rows that were compared."""
        ...

    def count_report(self, provider: str, state: str) -> None:
        """Count a report by its state."""
        ...

    def ledger_write(
        self, kind: LedgerKind | None, outcomes: Mapping[type[BaseException], LedgerOutcome]
    ) -> LedgerWrite:
        """Count and time one ledger transaction."""
        ...
