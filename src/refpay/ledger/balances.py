"""The door to balances: page by page in the order of accounts, as of any instant."""

from collections.abc import Mapping
from datetime import datetime

from refpay.db.pool import Database
from refpay.ledger.repository import read_accounts, read_balances


async def list_balances(
    database: Database, account: str | None, as_of: datetime | None, *, after: str, limit: int
) -> tuple[Mapping[tuple[str, str], int], str | None]:
    """Return one account's balances, or those of the next accounts, and after which others follow, if any do.

    In minor units by account and currency, debit positive; an account that had not moved by then has none.
    Raises HistoryArchived.
    """
    async with database.transaction() as connection:
        accounts = [account] if account else await read_accounts(connection, after=after, limit=limit + 1)
        shown = accounts[:limit]
        balances = await read_balances(connection, shown, as_of=as_of)
    return balances, shown[-1] if len(accounts) > limit else None
