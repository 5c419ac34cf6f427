"""Audit the ledger after the drain, and record the report in the event log."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from moneypath import oracle
from moneypath.errors import MoneypathError
from moneypath.incidents.events import EventLog
from moneypath.incidents.timeline import Kind
from moneypath.stack.endpoints import Endpoints

MAX_DISCREPANCIES = 50


async def audit_ledger(endpoints: Endpoints, *acknowledgement_log_files: Path) -> oracle.AuditReport:
    """Read the ledger, the providers' books and every acknowledgement log, and compare them.

    Stop the load and drain first. Raises LedgerUnreadable, ProviderBookUnreadable, AcknowledgementLogInvalid.
    """
    postings = await oracle.read_postings(endpoints.oracle_dsn)
    books = [
        await oracle.read_provider_book(url, _token(endpoints, name))
        for name, url in endpoints.acquirers.items()
    ]
    acknowledgement_logs = [
        await asyncio.to_thread(oracle.read_acknowledgement_log, file) for file in acknowledgement_log_files
    ]
    answers = [
        answer
        for acknowledgement_log in acknowledgement_logs
        for answer in acknowledgement_log.acknowledgements
    ]
    charges = [charge for book in books for charge in book]
    return await asyncio.to_thread(oracle.audit, postings, charges, answers)


async def record(
    endpoints: Endpoints, acknowledgement_log_files: Sequence[Path], log: EventLog, *, drain_seconds: float
) -> None:
    """Wait until nothing is unresolved, audit, and record the result.

    A ledger, book or log that cannot be read is recorded as "not whole".
    """
    try:
        took = await oracle.await_drained(endpoints.oracle_dsn, drain_seconds)
        log.append(Kind.LOAD_DRAINED, "operations", {"seconds": round(took, 3)})
        report = await audit_ledger(endpoints, *acknowledgement_log_files)
    except MoneypathError as error:
        log.append(
            Kind.LEDGER_TRUTH, "ledger", {"whole": False, "discrepancies": [error.what]}, source="oracle"
        )
        return
    discrepancies = [f"{found.kind}: {found.subject}: {found.detail}" for found in report.discrepancies]
    payload = {
        "whole": report.whole,
        "discrepancies": [*report.missing_evidence, *discrepancies][:MAX_DISCREPANCIES],
        "discrepancy_count": len(discrepancies),
        "summary": (
            f"{report.rows.posted_captures} captures posted, {report.rows.booked_captures} in the "
            f"providers' books, {report.rows.acknowledged_captures} acknowledged"
        ),
        "totals": [
            [
                total.operation.value,
                total.currency,
                total.posted_minor,
                total.booked_minor,
                total.acknowledged_minor,
            ]
            for total in report.totals
        ],
    }
    log.append(Kind.LEDGER_TRUTH, "ledger", payload, source="oracle")


def _token(endpoints: Endpoints, name: str) -> str:
    return (endpoints.secrets_folder / f"{name}_control_token").read_text(encoding="utf-8").strip()
