"""The audit: take the rows of three witnesses and return every contradiction. Pure, and linear in the rows.

Audit only when nothing is in flight. Stop the client and drain the service first (`await_drained`): a capture
between its two transactions is healthy, but would be reported as a capture without posting.

Merchant references and idempotency keys are compared as they are, so one audit covers one merchant, or
merchants that share neither references nor keys.
"""

from collections.abc import Callable, Iterable, Iterator

from moneypath.oracle.acknowledgement_checks import (
    check_refusals_are_kept,
    check_replays_agree,
    check_successes_agree,
    check_successes_are_kept,
)
from moneypath.oracle.audit_report import AuditReport, MinimumEvidence, count_rows, total
from moneypath.oracle.duplicate_checks import (
    check_acknowledged_keys_charge_once,
    check_posted_keys_charge_once,
    check_provider_keys_charge_once,
    check_references_authorize_once,
    check_references_charge_once,
)
from moneypath.oracle.evidence import Evidence, collect
from moneypath.oracle.ledger_checks import (
    check_charges_are_posted,
    check_currencies_balance,
    check_entries_balance,
    check_posted_amounts,
    check_postings_are_charged,
    check_postings_are_single,
    check_releases_are_backed,
)
from moneypath.oracle.records import Acknowledgement, Charge, Discrepancy, PostingLine

Check = Callable[[Evidence], Iterator[Discrepancy]]

CHECKS: tuple[Check, ...] = (
    check_entries_balance,
    check_currencies_balance,
    check_charges_are_posted,
    check_postings_are_charged,
    check_postings_are_single,
    check_releases_are_backed,
    check_posted_amounts,
    check_successes_are_kept,
    check_successes_agree,
    check_refusals_are_kept,
    check_replays_agree,
    check_provider_keys_charge_once,
    check_posted_keys_charge_once,
    check_acknowledged_keys_charge_once,
    check_references_charge_once,
    check_references_authorize_once,
)


def find_discrepancies(
    postings: Iterable[PostingLine],
    provider_book: Iterable[Charge],
    acknowledgements: Iterable[Acknowledgement],
    *,
    checks: Iterable[Check] = CHECKS,
) -> tuple[Discrepancy, ...]:
    """Return every contradiction between ledger, providers' books and the client's acknowledgement log.

    `provider_book` holds the rows of every provider. The acknowledgements are in the order in which they
    came.
    """
    return _run(collect(postings, provider_book, acknowledgements), checks)


def audit(
    postings: Iterable[PostingLine],
    provider_book: Iterable[Charge],
    acknowledgements: Iterable[Acknowledgement],
    *,
    minimum: MinimumEvidence | None = None,
    checks: Iterable[Check] = CHECKS,
) -> AuditReport:
    """Find all discrepancies and report on how much evidence; at least one capture per witness by default."""
    lines, book, answers = tuple(postings), tuple(provider_book), tuple(acknowledgements)
    evidence = collect(lines, book, answers)
    return AuditReport(
        discrepancies=_run(evidence, checks),
        rows=count_rows(evidence, lines=len(lines), charges=len(book), answers=len(answers)),
        totals=total(evidence),
        minimum=minimum or MinimumEvidence(),
    )


def _run(evidence: Evidence, checks: Iterable[Check]) -> tuple[Discrepancy, ...]:
    return tuple(discrepancy for check in checks for discrepancy in check(evidence))
