"""Recompute the chain over the whole ledger, and check balances and posted operations against it."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from refpay.ledger.causes import find_unexplained
from refpay.ledger.cold_storage import SEALS, read_archives, stream_ledger
from refpay.ledger.errors import ColdFileDamaged
from refpay.ledger.stored_entries import StoredEntry
from refpay.seals.chain import ChainDefect, DefectKind
from refpay.seals.verification import DEFECTS_MAXIMUM, VerificationReport, walk_chain

_BALANCES: Final = "SELECT account, currency, balance_minor FROM ledger.balance"
# An entry without its posted record or the reverse. Entries in cold storage have no live row.
_POSTED: Final = """
    SELECT coalesce(entry.id, posted.entry_id)::text
    FROM ledger.entry FULL JOIN ledger.posted
         ON posted.entry_id = entry.id AND posted.operation_id = entry.operation_id
    WHERE entry.id IS NULL AND NOT ledger.is_archived(posted.entry_id) OR posted.entry_id IS NULL
    ORDER BY 1 LIMIT $1
"""


async def verify(
    connection: Any, *, folder: Path | None = None, expected: str | None = None, kept: Path | None = None
) -> VerificationReport:
    """Verify the whole ledger as of one instant.

    The connection has to be in a repeatable-read transaction.

    `folder` is cold storage; without it the seals stand for the entries that are there. `expected` is the
    `head` of an earlier report, kept elsewhere, and `kept` the log of seals outside the database: they reveal
    a chain that was cut or rewritten, and the log names the entries.
    """
    report, balances = VerificationReport(), Balances()
    archives = await read_archives(connection)
    elsewhere = () if folder is not None else tuple((one.first_id, one.end_id) for one in archives)
    entries = stream_ledger(connection, archives, folder)
    try:
        await walk_chain(
            report,
            connection,
            SEALS,
            entries,
            balances.add,
            kept=kept,
            expected=expected,
            elsewhere=elsewhere,
        )
    except ColdFileDamaged as problem:
        report.add([ChainDefect(DefectKind.FILE_DIFFERS, problem.detail)])
        return report
    if not report.unseen:
        known = {(row[0], row[1]): int(row[2]) for row in await connection.fetch(_BALANCES)}
        report.add([ChainDefect(DefectKind.BALANCE_DIFFERS, name) for name in balances.differing(known)])
        report.add(
            [ChainDefect(DefectKind.CURRENCY_UNBALANCED, currency) for currency in balances.unbalanced()]
        )
    rows = await connection.fetch(_POSTED, DEFECTS_MAXIMUM)
    report.add([ChainDefect(DefectKind.POSTED_DIFFERS, row[0]) for row in rows])
    return report


async def verify_causes(report: VerificationReport, connection: Any) -> None:
    """Add the entries that neither an operation nor a settlement report stands behind.

    The connection has to be in a repeatable-read transaction. Entries in cold storage are not read.
    """
    for entry_id in await find_unexplained(connection, most=DEFECTS_MAXIMUM):
        report.add([ChainDefect(DefectKind.ENTRY_UNEXPLAINED, str(entry_id))])


class Balances:
    """Sums of entries by account and currency, whatever the entries hold."""

    def __init__(self) -> None:
        self.totals: Counter[tuple[str | None, str | None]] = Counter()

    def add(self, entry: StoredEntry) -> None:
        """Add the lines of an entry."""
        lines = zip(entry.accounts, entry.currencies, entry.amounts_minor, strict=False)
        for account, currency, amount_minor in lines:
            self.totals[account, currency] += amount_minor or 0

    def differing(self, known: Mapping[tuple[str | None, str | None], int]) -> list[str]:
        """Return the accounts whose balance differs from the known one."""
        keys = {*self.totals, *known}
        return sorted(f"{a} {c}" for a, c in keys if self.totals[a, c] != known.get((a, c), 0))

    def unbalanced(self) -> list[str]:
        """Return the currencies whose total over all accounts is not 0."""
        sums: Counter[str] = Counter()
        for (_, currency), total in self.totals.items():
            sums[str(currency)] += total
        return sorted(currency for currency, total in sums.items() if total)
