"""The audit's answer for people: whole or not, on how much evidence, over how much money."""

from collections import defaultdict
from dataclasses import dataclass

from moneypath.oracle.claims import Stance
from moneypath.oracle.evidence import Evidence
from moneypath.oracle.records import Discrepancy, Operation

_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class MinimumEvidence:
    """How many captures each witness must have seen before silence counts as proof.

    Three witnesses that saw nothing contradict each other in nothing. Zeros are allowed, but must be
    asked for.
    """

    posted_captures: int = 1
    booked_captures: int = 1
    acknowledged_captures: int = 1


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What each witness brought: all its rows, and the captures among them."""

    posting_lines: int
    charges: int
    acknowledgements: int
    posted_captures: int
    booked_captures: int
    acknowledged_captures: int


@dataclass(frozen=True, slots=True)
class MoneyTotal:
    """One operation in one currency, in minor units, as each witness sums it up."""

    operation: Operation
    currency: str
    posted_minor: int
    booked_minor: int
    acknowledged_minor: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the oracle says about a run."""

    discrepancies: tuple[Discrepancy, ...]
    rows: RowCounts
    totals: tuple[MoneyTotal, ...]
    minimum: MinimumEvidence

    @property
    def missing_evidence(self) -> tuple[str, ...]:
        """Say which witness saw too little; empty when all saw enough."""
        needs = (
            ("the ledger", self.rows.posted_captures, self.minimum.posted_captures),
            ("the providers' books", self.rows.booked_captures, self.minimum.booked_captures),
            ("the client's journal", self.rows.acknowledged_captures, self.minimum.acknowledged_captures),
        )
        return tuple(
            f"{witness}: {seen} captures seen, needed: at least {needed}"
            for witness, seen, needed in needs
            if seen < needed
        )

    @property
    def whole(self) -> bool:
        """Whether nothing contradicts, on enough evidence."""
        return not self.discrepancies and not self.missing_evidence

    def summary(self) -> str:
        """Write the verdict for people: one line each for money and findings, at most 20 findings."""
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
    """Count what each witness brought."""
    return RowCounts(
        posting_lines=lines,
        charges=charges,
        acknowledgements=answers,
        posted_captures=sum(entry.operation is Operation.CAPTURE for entry in evidence.entries),
        booked_captures=sum(charge.operation is Operation.CAPTURE for charge in evidence.charges),
        acknowledged_captures=sum(
            claim.stance is Stance.SUCCEEDED and claim.answer.operation is Operation.CAPTURE
            for claim in evidence.claims
        ),
    )


def total(evidence: Evidence) -> tuple[MoneyTotal, ...]:
    """Sum up each operation and currency by witness; authorizations and voids are not posted: 0 there."""
    sums: dict[tuple[Operation, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for entry in evidence.entries:
        if entry.operation is not None:
            for currency, minor in entry.receivable.items():
                sums[entry.operation, currency][0] += entry.operation.sign * minor
    for charge in evidence.charges:
        sums[charge.operation, charge.currency][1] += charge.amount_minor
    for claim in evidence.claims:
        if claim.stance is Stance.SUCCEEDED:
            sums[claim.answer.operation, claim.answer.currency][2] += claim.answer.amount_minor
    return tuple(MoneyTotal(*group, *amounts) for group, amounts in sorted(sums.items()))
