"""Audit the ledger after the drain, and record the report in the event log."""

import asyncio
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from moneypath import oracle
from moneypath.drills.service import Driven
from moneypath.errors import MoneypathError
from moneypath.incidents.events import EventLog
from moneypath.incidents.timeline import Kind
from moneypath.stack.endpoints import Endpoints

MAX_DISCREPANCIES = 50
# How long the service may take to book a settlement report that it was served.
BOOKED_WITHIN_SECONDS: Final = 10.0
# What keeps checkouts going between drills, on a stack that stays up.
_OTHER_LOGS: Final = "trickle-*.jsonl"


async def audit_ledger(
    endpoints: Endpoints, *acknowledgement_log_files: Path, driven: Driven | None = None
) -> oracle.AuditReport:
    """Read the ledger, the providers' books and every acknowledgement log, and compare them.

    Stop the load and drain first. The first log is that of the load that was `driven`; without it, every
    movement in the books has to be asked for in the logs. Raises LedgerUnreadable, ProviderBookUnreadable,
    ReportsUnreadable, AcknowledgementLogInvalid.
    """
    reading_at = time.time()
    postings = await oracle.read_postings(endpoints.oracle_dsn)
    charges: list[oracle.Charge] = []
    reports: list[oracle.ReportTaken] = []
    for name, url in endpoints.providers.items():
        charges += await oracle.read_provider_book(url, _token(endpoints, name))
        # After the ledger: what it has booked was served before.
        reports += await oracle.read_reports_taken(url, _token(endpoints, name))
    others = sorted(endpoints.run_folder.glob(_OTHER_LOGS))
    logs = [
        await asyncio.to_thread(oracle.read_acknowledgement_log, file)
        for file in (*acknowledgement_log_files, *others)
    ]
    return await asyncio.to_thread(
        oracle.audit,
        postings,
        charges,
        [answer for log in logs for answer in log.acknowledgements],
        requests=[request for log in logs for request in log.requests],
        reports=reports,
        scope=oracle.Scope(
            asked_since=-math.inf if driven is None else driven.since,
            reports_until=reading_at - BOOKED_WITHIN_SECONDS,
        ),
        load=None if driven is None else oracle.LoadDriven(driven.planned, logs[0].count_checkouts()),
    )


async def record(
    endpoints: Endpoints,
    acknowledgement_log_files: Sequence[Path],
    log: EventLog,
    *,
    drain_seconds: float,
    driven: Driven,
) -> None:
    """Wait until nothing is unresolved, audit, and record the result.

    A ledger, book or log that cannot be read is recorded as "not whole".
    """
    try:
        took = await oracle.await_drained(endpoints.oracle_dsn, drain_seconds)
        log.append(Kind.LOAD_DRAINED, "operations", {"seconds": round(took, 3)})
        report = await audit_ledger(endpoints, *acknowledgement_log_files, driven=driven)
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
            f"providers' books, {report.rows.acknowledged_captures} acknowledged; "
            f"{_describe_load(report)}"
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


def _describe_load(report: oracle.AuditReport) -> str:
    rows, load = report.rows, report.load
    planned = f" ({load.asked} checkouts, {load.planned} planned)" if load is not None else ""
    return f"{rows.requests} requests sent{planned}, {rows.unanswered} of them without an answer on record"


def _token(endpoints: Endpoints, name: str) -> str:
    return (endpoints.secrets_folder / f"{name}_control_token").read_text(encoding="utf-8").strip()
