"""The result of an audit: discrepancies, the amount of evidence, and totals per currency."""

from collections import defaultdict
from dataclasses import dataclass

from moneypath.oracle.claims import ClaimStatus
from moneypath.oracle.evidence import Evidence
from moneypath.oracle.records import Discrepancy, Operation

_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class MinimumEvidence:
    """How many captures each witness must have seen for an audit to pass.

    An audit of three empty witnesses finds no contradiction and still fails. Zeros are allowed, but only on
    request.
    """

    posted_captures: int = 1
    booked_captures: int = 1
    acknowledged_captures: int = 1


@dataclass(frozen=True, slots=True)
class RowCounts:
    """The number of rows of each witness, and of captures among them."""

    posting_lines: int
    charges: int
    acknowledgements: int
    posted_captures: int
    booked_captures: int
    acknowledged_captures: int


@dataclass(frozen=True, slots=True)
class MoneyTotal:
    """The total of one operation in one currency according to each witness, in minor units."""

    operation: Operation
    currency: str
    posted_minor: int
    booked_minor: int
    acknowledged_minor: int


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of an audit. It is `whole` if every unit of money is accounted for, on enough evidence."""

    discrepancies: tuple[Discrepancy, ...]
    rows: RowCounts
    totals: tuple[MoneyTotal, ...]
    minimum: MinimumEvidence

    @property
    def missing_evidence(self) -> tuple[str, ...]:
        """Return one sentence for each witness that saw too few captures."""
        needs = (
            ("the ledger", self.rows.posted_captures, self.minimum.posted_captures),
            ("the providers' books", self.rows.booked_captures, self.minimum.booked_captures),
            (
                "the client's acknowledgement log",
                self.rows.acknowledged_captures,
                self.minimum.acknowledged_captures,
            ),
        )
        return tuple(
            f"{witness}: {seen} captures seen, needed: at least {needed}"
            for witness, seen, needed in needs
            if seen < needed
        )

    @property
    def whole(self) -> bool:
        """Whether there is no discrepancy, on enough evidence."""
        return not self.discrepancies and not self.missing_evidence

    def summary(self) -> str:
        """Return the report as text: a line per total and per discrepancy, at most 20 discrepancies."""
        rows = self.rows
        lines = [
            "whole: every unit of money is accounted for" if self.whole else "NOT whole",
            f"evidence: {rows.posting_lines} posting lines, {rows.charges} provider operations, "
            f"{rows.acknowledgements} answers",
        ]
        lines += [
            f"{money.operation} {money.currency}: posted {money.posted_minor}, "
            f"in the books {money.booked_minor}, acknowledged {money.acknowledged_minor} (minor units)"
            for money in self.totals
        ]
        lines += [f"too little evidence: {text}" for text in self.missing_evidence]
        lines += [
            f"{found.kind}: {found.subject}: {found.detail}" for found in self.discrepancies[:_SHOWN_MAX]
        ]
        hidden = len(self.discrepancies) - _SHOWN_MAX
        if hidden > 0:
            lines.append(f"and {hidden} more")
        return "\n".join(lines)


def count_rows(evidence: Evidence, *, lines: int, charges: int, answers: int) -> RowCounts:
    """Count the rows of each witness."""
    return RowCounts(
        posting_lines=lines,
        charges=charges,
        acknowledgements=answers,
        posted_captures=sum(entry.operation is Operation.CAPTURE for entry in evidence.entries),
        booked_captures=sum(charge.operation is Operation.CAPTURE for charge in evidence.charges),
        acknowledged_captures=sum(
            claim.status is ClaimStatus.SUCCEEDED and claim.answer.operation is Operation.CAPTURE
            for claim in evidence.claims
        ),
    )


def total(evidence: Evidence) -> tuple[MoneyTotal, ...]:
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
    return tuple(MoneyTotal(*group, *amounts) for group, amounts in sorted(sums.items()))
