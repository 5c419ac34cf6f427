"""Audit the rows of some merchant references, and add such parts up."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field
from typing import Final, TypeAlias

from moneypath.oracle.audit_report import MoneyTotal, RowCounts
from moneypath.oracle.checks import CHECKS, OF_THE_WHOLE_LEDGER, Check, run
from moneypath.oracle.claims import ClaimStatus
from moneypath.oracle.entry_kinds import ENTRY_RULES, EntryRule
from moneypath.oracle.evidence import Evidence, Scope, collect
from moneypath.oracle.ledger_checks import (
    check_currencies_balance,
    find_unbalanced_currencies,
    sum_currencies,
)
from moneypath.oracle.limit_checks import check_payouts_are_payable
from moneypath.oracle.payable import Account, PayableAccount, find_uncovered_payouts, read_accounts
from moneypath.oracle.records import Discrepancy, Operation, ReportTaken
from moneypath.oracle.spool import Rows

Names: TypeAlias = "list[array[int]]"
BUCKETS: Final = 16
_NO_ROWS = RowCounts(0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is known beside the rows, and what they are held to.

    `recorded` says whether clients recorded their requests. `rules` has what each kind of entry may be.
    """

    reports: tuple[ReportTaken, ...]
    scope: Scope
    recorded: bool
    checks: tuple[Check, ...] = CHECKS
    rules: Mapping[str, EntryRule] = field(default_factory=lambda: ENTRY_RULES)

    @property
    def of_a_part(self) -> tuple[Check, ...]:
        """Return the checks that see all that they need in a part of the rows."""
        return tuple(check for check in self.checks if check not in OF_THE_WHOLE_LEDGER)


@dataclass(slots=True)
class PartialAudit:
    """What was found in a part of the rows, and what has to be added up over all of them.

    `names` are the hashes of all names that only one merchant reference may have (keys, cases, entries), by
    their remainder.
    """

    discrepancies: tuple[Discrepancy, ...] = ()
    rows: RowCounts = _NO_ROWS
    sums: dict[tuple[Operation, str], list[int]] = field(default_factory=dict)
    currencies: Counter[str] = field(default_factory=Counter)
    accounts: dict[Account, PayableAccount] = field(default_factory=dict)
    names: Names = field(default_factory=list)

    def add(self, other: "PartialAudit") -> None:
        """Add another part; its names are left to whoever compares them."""
        self.discrepancies += other.discrepancies
        self.rows = RowCounts(*map(sum, zip(astuple(self.rows), astuple(other.rows), strict=True)))
        for group, amounts in other.sums.items():
            known = self.sums.get(group, [0, 0, 0])
            self.sums[group] = [mine + more for mine, more in zip(known, amounts, strict=True)]
        for currency, minor in other.currencies.items():
            self.currencies[currency] += minor
        for name, account in other.accounts.items():
            self.accounts.setdefault(name, PayableAccount()).extend(account)

    def finish(self, checks: Collection[Check] = CHECKS) -> "PartialAudit":
        """Add what only the whole ledger shows, as far as it is asked for, and return this."""
        if check_currencies_balance in checks:
            self.discrepancies += tuple(find_unbalanced_currencies(self.currencies))
        if check_payouts_are_payable in checks:
            self.discrepancies += tuple(find_uncovered_payouts(self.accounts))
        return self

    def totals(self) -> tuple[MoneyTotal, ...]:
        """Return the totals of each operation and currency."""
        return tuple(MoneyTotal(*group, *amounts) for group, amounts in sorted(self.sums.items()))


def audit_rows(rows: Rows, inputs: Inputs) -> PartialAudit:
    """Audit all rows at once."""
    return audit_part(rows, inputs, inputs.reports).finish(inputs.checks)


def audit_part(
    rows: Rows, inputs: Inputs, reports: Iterable[ReportTaken], *, with_names: bool = False
) -> PartialAudit:
    """Audit the rows of some references; `reports` are those whose entries are among them."""
    evidence = collect(
        rows.postings,
        rows.book,
        rows.answers,
        requests=rows.requests,
        reports=reports,
        scope=inputs.scope,
        rules=inputs.rules,
    )
    return PartialAudit(
        discrepancies=run(evidence, inputs.of_a_part),
        rows=_count(evidence, rows),
        sums=_sum(evidence),
        currencies=sum_currencies(evidence),
        accounts=read_accounts(evidence.entries, evidence.requests.payouts_at),
        names=_hash(names_in(evidence)) if with_names else [],
    )


def names_in(evidence: Evidence) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the names that only one merchant reference may have, each with whose it is here."""
    for charge in evidence.charges:
        yield ("charge", charge.operation, charge.name), charge.reference
    for entry in evidence.entries:
        head = entry.head
        yield ("entry", head.entry_id), head.merchant_reference
        if entry.operation is not None and head.idempotency_key:
            yield ("posted", entry.operation, head.idempotency_key), head.merchant_reference
    for key, answers in evidence.requests.answers.items():
        yield ("asked", *key), answers[0].merchant_reference


def _hash(names: Iterable[tuple[tuple[str, ...], str]]) -> Names:
    buckets: Names = [array("q") for _ in range(BUCKETS)]
    for name in {hash(name) for name, _ in names}:
        buckets[name % BUCKETS].append(name)
    return buckets


def _count(evidence: Evidence, rows: Rows) -> RowCounts:
    return RowCounts(
        posting_lines=len(rows.postings),
        charges=len(rows.book),
        acknowledgements=len(rows.answers),
        posted_captures=sum(entry.operation is Operation.CAPTURE for entry in evidence.entries),
        booked_captures=sum(charge.operation is Operation.CAPTURE for charge in evidence.charges),
        acknowledged_captures=sum(
            claim.status is ClaimStatus.SUCCEEDED and claim.answer.operation is Operation.CAPTURE
            for claim in evidence.claims
        ),
        requests=evidence.requests.sent,
        unanswered=evidence.requests.unanswered,
    )


def _sum(evidence: Evidence) -> dict[tuple[Operation, str], list[int]]:
    """Sum up each operation and currency per witness. Authorizations and voids are not posted, so the ledger
    has 0.
    """
    sums: dict[tuple[Operation, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for entry in evidence.entries:
        if entry.operation is not None:
            for currency, minor in entry.receivable.items():
                sums[entry.operation, currency][0] += entry.operation.sign * minor
    for charge in evidence.charges:
        sums[charge.operation, charge.currency][1] += charge.amount_minor
    for claim in evidence.claims:
        if claim.status is ClaimStatus.SUCCEEDED:
            sums[claim.answer.operation, claim.answer.currency][2] += claim.answer.amount_minor
    return dict(sums)
