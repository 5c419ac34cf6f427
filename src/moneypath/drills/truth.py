"""Ask the three witnesses after the drain, and write their verdict into the event log."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from moneypath import oracle
from moneypath.errors import MoneypathError
from moneypath.incidents.events import EventLog
from moneypath.incidents.timeline import Kind
from moneypath.stack.endpoints import Endpoints

MAX_DISCREPANCIES = 50


async def hear_witnesses(endpoints: Endpoints, *journal_files: Path) -> oracle.Verdict:
    """Read ledger, providers' books and every client's journal, and judge them.

    Stop the load and drain first. Raises LedgerUnreadable, ProviderBookUnreadable, JournalInvalid.
    """
    postings = await oracle.read_postings(endpoints.oracle_dsn)
    books = [
        await oracle.read_provider_book(url, _token(endpoints, name))
        for name, url in endpoints.acquirers.items()
    ]
    journals = [await asyncio.to_thread(oracle.read_journal, file) for file in journal_files]
    answers = [answer for journal in journals for answer in journal.acknowledgements]
    charges = [charge for book in books for charge in book]
    return await asyncio.to_thread(oracle.judge, postings, charges, answers)


async def record(
    endpoints: Endpoints, journal_files: Sequence[Path], log: EventLog, *, drain_seconds: float
) -> None:
    """Wait until nothing is unresolved, audit, and record; a witness that cannot be heard is not "whole"."""
    try:
        took = await oracle.await_drained(endpoints.oracle_dsn, drain_seconds)
        log.append(Kind.LOAD_DRAINED, "operations", {"seconds": round(took, 3)})
        verdict = await hear_witnesses(endpoints, *journal_files)
    except MoneypathError as error:
        log.append(
            Kind.LEDGER_TRUTH, "ledger", {"whole": False, "discrepancies": [error.what]}, source="oracle"
        )
        return
    discrepancies = [f"{found.kind}: {found.subject}: {found.detail}" for found in verdict.discrepancies]
    payload = {
        "whole": verdict.whole,
        "discrepancies": [*verdict.missing_evidence, *discrepancies][:MAX_DISCREPANCIES],
        "discrepancy_count": len(discrepancies),
        "summary": (
            f"{verdict.rows.posted_captures} captures posted, {verdict.rows.booked_captures} in the "
            f"providers' books, {verdict.rows.acknowledged_captures} acknowledged"
        ),
        "totals": [
            [
                total.operation.value,
                total.currency,
                total.posted_minor,
                total.booked_minor,
                total.acknowledged_minor,
            ]
            for total in verdict.totals
        ],
    }
    log.append(Kind.LEDGER_TRUTH, "ledger", payload, source="oracle")


def _token(endpoints: Endpoints, name: str) -> str:
    return (endpoints.secrets_folder / f"{name}_control_token").read_text(encoding="utf-8").strip()
