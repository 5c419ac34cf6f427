"""The audit: take the rows of three witnesses and return every contradiction. Pure, and linear in the rows.

Audit only when nothing is in flight. Stop the client and drain the service first (`await_drained`): a capture
between its two transactions is healthy, but would be reported as a capture without posting.

Merchant references and idempotency keys are compared as they are, so one audit covers one merchant, or
merchants that share neither references nor keys.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from moneypath.oracle.audit_report import AuditReport, LoadDriven, MinimumEvidence
from moneypath.oracle.checks import CHECKS, Check, run
from moneypath.oracle.entry_kinds import ENTRY_RULES, EntryRule
from moneypath.oracle.evidence import Scope, collect
from moneypath.oracle.large_audit import audit_in_parts
from moneypath.oracle.partial_audit import Inputs, audit_rows
from moneypath.oracle.payable import balances
from moneypath.oracle.records import Acknowledgement, Charge, Discrepancy, PostingLine, ReportTaken, Request
from moneypath.oracle.spool import ROWS_IN_MEMORY, Spool, Witness


def find_discrepancies(
    postings: Iterable[PostingLine],
    provider_book: Iterable[Charge],
    acknowledgements: Iterable[Acknowledgement],
    *,
    requests: Iterable[Request] | None = None,
    reports: Iterable[ReportTaken] = (),
    scope: Scope | None = None,
    checks: Iterable[Check] = CHECKS,
) -> tuple[Discrepancy, ...]:
    """Return every contradiction between ledger, providers' books and the client's acknowledgement log.

    `provider_book` holds the rows of every provider, `reports` what their settlement reports take. The
    acknowledgements are in the order in which they came. Without `requests` every answer counts as asked for.
    """
    evidence = collect(
        postings, provider_book, acknowledgements, requests=requests, reports=reports, scope=scope
    )
    return run(evidence, checks)


def audit(
    postings: Iterable[PostingLine],
    provider_book: Iterable[Charge],
    acknowledgements: Iterable[Acknowledgement],
    *,
    requests: Iterable[Request] | None = None,
    reports: Iterable[ReportTaken] = (),
    scope: Scope | None = None,
    minimum: MinimumEvidence | None = None,
    load: LoadDriven | None = None,
    rows_in_memory: int = ROWS_IN_MEMORY,
    checks: Iterable[Check] = CHECKS,
    rules: Mapping[str, EntryRule] = ENTRY_RULES,
) -> AuditReport:
    """Find all discrepancies and report on how much evidence; at least one capture per witness by default.

    `load` says how many checkouts the clients were to ask for. Beyond `rows_in_memory` the rows are spilled
    to temporary files and audited in parts, by two processes; what is found is the same. `checks` and `rules`
    are others for a ledger of other kinds of entries, or a witness less. Raises AuditInterrupted if one of
    these processes ends.
    """
    with Spool(rows_in_memory) as spool:
        spool.take(Witness.POSTINGS, postings)
        spool.take(Witness.BOOK, provider_book)
        spool.take(Witness.ANSWERS, acknowledgements)
        if requests is not None:
            spool.take(Witness.REQUESTS, requests)
        rows = spool.rows if requests is not None else replace(spool.rows, requests=None)
        inputs = Inputs(tuple(reports), scope or Scope(), requests is not None, tuple(checks), rules)
        whole = audit_in_parts(spool, inputs) if spool.spilled else audit_rows(rows, inputs)
    return AuditReport(
        discrepancies=whole.discrepancies,
        rows=whole.rows,
        totals=whole.totals(),
        minimum=minimum or MinimumEvidence(),
        balances=balances(whole.accounts),
        load=load,
    )
