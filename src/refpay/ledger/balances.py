"""The door to balances: page by page in the order of accounts, as of any instant."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from refpay.db.pool import Database
from refpay.ledger.repository import read_accounts, read_balances


@dataclass(frozen=True, slots=True)
class BalancesPage:
    """Balances in minor units by account and currency, debit positive; `after` begins the next page."""

    balances: Mapping[tuple[str, str], int]
    after: str | None


@dataclass(frozen=True, slots=True)
class Balances:
    """Reads balances; of accounts that had not moved by then there is none."""

    database: Database

    async def read(
        self, account: str | None, as_of: datetime | None, *, after: str = "", limit: int
    ) -> BalancesPage:
        """Return one account's balances, or those of the next accounts; raises HistoryArchived."""
        async with self.database.transaction() as connection:
            if account is None:
                accounts = await read_accounts(connection, after=after, limit=limit + 1)
            else:
                accounts = [account]
            shown = accounts[:limit]
            balances = await read_balances(connection, shown, as_of=as_of)
        return BalancesPage(balances, shown[-1] if len(accounts) > limit else None)
