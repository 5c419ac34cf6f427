"""Report a run to people and to machines."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from statistics import median
from typing import Any, Final

from proofs.crash_test.run import Result
from proofs.crash_test.schedule import Process
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from moneypath.oracle import DiscrepancyKind

NOT_A_POWER_CUT: Final = (
    "A killed process is not a power cut: data that the operating system has taken over survives a SIGKILL. "
    "Acknowledged data is on disk because of fsync, synchronous_commit, full_page_writes and sync_interval, "
    "which are on here and which refpay checks. Whether the disk really syncs was not tested. The acquirers "
    "were not killed: their books are a witness."
)
_SHOWN_MOST: Final = 20


def classify(kind: DiscrepancyKind) -> str:
    """Return the class of a discrepancy: lost, doubled, unbalanced or different."""
    match kind:
        case (
            DiscrepancyKind.CAPTURE_WITHOUT_POSTING
            | DiscrepancyKind.POSTING_WITHOUT_CAPTURE
            | DiscrepancyKind.CHARGEBACK_WITHOUT_POSTING
            | DiscrepancyKind.POSTING_WITHOUT_CHARGEBACK
            | DiscrepancyKind.PAYOUT_WITHOUT_POSTING
            | DiscrepancyKind.POSTING_WITHOUT_PAYOUT
            | DiscrepancyKind.ACKNOWLEDGED_LOST
            | DiscrepancyKind.FEE_DIFFERS
            | DiscrepancyKind.EXCHANGE_DIFFERS
        ):
            return "lost"
        case (
            DiscrepancyKind.POSTED_TWICE
            | DiscrepancyKind.KEY_CHARGED_TWICE
            | DiscrepancyKind.REFERENCE_CHARGED_TWICE
            | DiscrepancyKind.REFERENCE_AUTHORIZED_TWICE
            | DiscrepancyKind.MOVED_UNASKED
            | DiscrepancyKind.CAPTURE_EXCEEDS_AUTHORIZATION
            | DiscrepancyKind.REFUND_EXCEEDS_CAPTURE
            | DiscrepancyKind.CHARGEBACK_EXCEEDS_CAPTURE
            | DiscrepancyKind.PAYOUT_EXCEEDS_PAYABLE
        ):
            return "doubled"
        case (
            DiscrepancyKind.ENTRY_UNBALANCED
            | DiscrepancyKind.CURRENCY_UNBALANCED
            | DiscrepancyKind.ENTRY_INCONSISTENT
            | DiscrepancyKind.ENTRY_KIND_UNKNOWN
            | DiscrepancyKind.ACCOUNT_UNEXPECTED
            | DiscrepancyKind.AMOUNT_INVALID
        ):
            return "unbalanced"
        case (
            DiscrepancyKind.AMOUNT_DIFFERS
            | DiscrepancyKind.CURRENCY_DIFFERS
            | DiscrepancyKind.REFUSED_BUT_CHARGED
            | DiscrepancyKind.REPLAY_DIFFERS
            | DiscrepancyKind.BENEFICIARY_DIFFERS
            | DiscrepancyKind.PAYMENT_DIFFERS
            | DiscrepancyKind.ANSWER_WITHOUT_REQUEST
            | DiscrepancyKind.BOOK_INCONSISTENT
        ):
            return "different"


def to_document(result: Result, folder: str) -> Mapping[str, Any]:
    """Return the result as JSON types; times are in seconds."""
    kinds = Counter(found.kind.value for found in result.audit.discrepancies)
    return {
        "whole": result.whole,
        "kills": {each.value: number for each, number in result.kills.items()},
        "killed": sum(result.kills.values()),
        "killed_in_recovery": result.in_recovery,
        "refused_starts": result.refused_starts,
        "recoveries": {each.value: _recoveries(result, each) for each in Process},
        "requests": asdict(result.requests),
        "operations": asdict(result.effects),
        "evidence": asdict(result.audit.rows),
        "classes": _classes(result),
        "discrepancies": dict(kinds),
        "findings": list(result.findings[:_SHOWN_MOST]),
        "finding_count": len(result.findings),
        "stored_answers_repeated": result.stored_answers_repeated,
        "under_load_seconds": round(result.under_load_seconds, 1),
        "drained_seconds": round(result.drained_seconds, 1),
        "seconds": round(result.seconds, 1),
        "command": result.plan.command,
        "folder": folder,
        "limits": NOT_A_POWER_CUT,
    }


def render(result: Result, folder: str) -> RenderableType:
    """Return tables, result and limits."""
    parts: list[RenderableType] = [_processes(result), Text(), _figures(result), Text()]
    parts += [Text(f"FOUND {each}", style="bold red") for each in result.findings[:_SHOWN_MOST]]
    hidden = len(result.findings) - _SHOWN_MOST
    parts += [Text(f"and {hidden} more", style="red")] if hidden > 0 else []
    classes = ", ".join(f"{number} {name}" for name, number in _classes(result).items())
    style = "bold green" if result.whole else "bold red"
    parts.append(Text(f"{'WHOLE' if result.whole else 'NOT WHOLE'}: {classes}", style=style))
    if not result.whole:
        parts.append(Text(f"evidence: {folder}\nrepeat with: {result.plan.command}"))
    parts.append(Text(NOT_A_POWER_CUT, style="dim"))
    return Group(*parts)


def _classes(result: Result) -> dict[str, int]:
    found = Counter(classify(each.kind) for each in result.audit.discrepancies)
    return {name: found[name] for name in ("lost", "doubled", "unbalanced", "different")}


def _recoveries(result: Result, process: Process) -> dict[str, float | int | None]:
    mine = [each for each in result.recoveries if each.process is process]
    started, dead = [each.started_seconds for each in mine], [each.dead_seconds for each in mine]
    return {
        "number": len(mine),
        "median_seconds": round(median(started), 2) if mine else None,
        "longest_seconds": round(max(started), 2) if mine else None,
        "longest_since_death_seconds": round(max(dead), 2) if mine else None,
    }


def _processes(result: Result) -> Table:
    table = _table("process", "kills", "returned", "answered: median", "longest", "longest since death")
    for each in Process:
        found = _recoveries(result, each)
        times = (found["median_seconds"], found["longest_seconds"], found["longest_since_death_seconds"])
        shown = ["-" if seconds is None else f"{seconds:.2f} s" for seconds in times]
        table.add_row(each.value, str(result.kills[each]), str(found["number"]), *shown)
    table.add_row("all", str(sum(result.kills.values())), str(len(result.recoveries)), "", "", "")
    return table


def _figures(result: Result) -> Table:
    asked, told, rows = result.requests, result.effects, result.audit.rows
    table = _table("figure", "")
    figures = (
        ("killed again before it answered", result.in_recovery),
        ("starts refused while another one was dead", result.refused_starts),
        ("requests sent", asked.sent),
        ("  answered", asked.answered),
        ("  without an answer, repeated with their key", asked.unanswered),
        ("  without a definitive answer, repeated with their key", asked.unsure),
        ("operations requested", asked.keys),
        ("  definitive after a retry", asked.resolved_later),
        ("  never definitive", asked.open_keys),
        ("operations resolved", told.resolved),
        ("  by the worker", told.by_worker),
        ("messages: notifications, compliance entries", f"{told.notifications}, {told.entries}"),
        ("evidence: posting lines", rows.posting_lines),
        ("evidence: acquirers' operations", rows.charges),
        ("evidence: answers in the client's acknowledgement log", rows.acknowledgements),
        (
            "captures posted, booked, acknowledged",
            f"{rows.posted_captures}, {rows.booked_captures}, {rows.acknowledged_captures}",
        ),
        ("longest time without any success", f"{asked.longest_silence_seconds:.1f} s"),
        ("resolved after the load ended", f"{result.drained_seconds:.1f} s"),
        ("under load", f"{result.under_load_seconds:.0f} s"),
        ("whole run", f"{result.seconds:.0f} s"),
        ("discrepancies", len(result.audit.discrepancies)),
    )
    for name, value in figures:
        table.add_row(name, str(value))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
