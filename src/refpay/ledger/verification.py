"""Recompute the chain over the whole ledger, and check balances and posted operations against it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from refpay.ledger.causes import find_unexplained
from refpay.ledger.chain import GENESIS, ChainDefect, DefectKind, StoredEntry, check_link, check_run, lies_in
from refpay.ledger.cold_storage import read_archives, stream_ledger, stream_seals
from refpay.ledger.errors import ColdFileDamaged

# More defects would tell nothing more.
DEFECTS_MAXIMUM: Final = 100

_BALANCES: Final = "SELECT account, currency, balance_minor FROM ledger.balance"
# An entry without its posted record or the reverse. Entries in cold storage have no live row.
_POSTED: Final = """
    SELECT coalesce(entry.id, posted.entry_id)::text
    FROM ledger.entry FULL JOIN ledger.posted
         ON posted.entry_id = entry.id AND posted.operation_id = entry.operation_id
    WHERE entry.id IS NULL AND NOT ledger.is_archived(posted.entry_id) OR posted.entry_id IS NULL
    ORDER BY 1 LIMIT $1
"""


@dataclass(slots=True)
class VerificationReport:
    """What was verified. No findings means that every entry is as it was sealed."""

    seals: int = 0
    entries: int = 0
    # Not sealed yet, so they cannot be verified.
    unsealed: int = 0
    # In cold storage, which was not read.
    unseen: int = 0
    head: str = f"0:{GENESIS.hex()}"
    findings: list[ChainDefect] = field(default_factory=list)

    def add(self, findings: list[ChainDefect]) -> None:
        """Add defects, up to a bound."""
        self.findings += findings[: DEFECTS_MAXIMUM - len(self.findings)]


async def verify(
    connection: Any, *, folder: Path | None = None, expected: str | None = None
) -> VerificationReport:
    """Verify the whole ledger as of one instant.

    The connection has to be in a repeatable-read transaction.

    `folder` is cold storage; without it the seals stand for the entries that are there. `expected` is the
    `head` of an earlier report, kept elsewhere: it reveals a chain that was cut or rewritten.
    """
    report, balances = VerificationReport(), Balances()
    try:
        await _walk(report, connection, folder, balances, expected)
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


async def _walk(
    report: VerificationReport,
    connection: Any,
    folder: Path | None,
    balances: "Balances",
    expected: str | None,
) -> None:
    archives = await read_archives(connection)
    elsewhere = () if folder is not None else tuple((one.first_id, one.end_id) for one in archives)
    entries = stream_ledger(connection, archives, folder)
    waiting = await anext(entries, None)
    previous, heads = GENESIS, {report.head}
    async for seal in stream_seals(connection):
        report.add(check_link(seal, seq=report.seals + 1, previous=previous))
        run = []
        while waiting is not None and waiting.place <= seal.place:
            run.append(waiting.leaf())
            balances.add(waiting)
            waiting = await anext(entries, None)
        report.add(check_run(seal, run, elsewhere))
        report.entries += len(run)
        report.unseen += sum(lies_in(leaf, elsewhere) for leaf in seal.leaf_list()) if elsewhere else 0
        report.seals, previous = seal.seq, seal.digest
        report.head = f"{seal.seq}:{seal.digest.hex()}"
        heads.add(report.head)
    if expected is not None and expected not in heads:
        report.add([ChainDefect(DefectKind.SEAL_UNEXPECTED, expected)])
    while waiting is not None:
        report.unsealed += 1
        waiting = await anext(entries, None)


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
