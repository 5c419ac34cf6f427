"""The result of an audit: discrepancies, the amount of evidence, and totals per currency."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from moneypath.oracle.payable import Balance
from moneypath.oracle.records import Discrepancy, Operation

_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class MinimumEvidence:
    """How much each witness must have seen for an audit to pass.

    An audit of three empty witnesses finds no contradiction and still fails. Zeros are allowed, but only on
    request. At most `unanswered` requests may lack an answer on record: those that were on their way when a
    client was killed.
    """

    posted_captures: int = 1
    booked_captures: int = 1
    acknowledged_captures: int = 1
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class LoadDriven:
    """How many checkouts a load was to ask for, its rate times its seconds, and for how many it asked.

    A slow service holds its clients up, so that they ask for less; nothing makes them ask for more.
    """

    planned: int
    asked: int
    least_ratio: float = 0.5
    most_ratio: float = 1.1

    @property
    def problem(self) -> str:
        """Return a sentence if the load was not the planned one."""
        least, most = math.floor(self.planned * self.least_ratio), math.ceil(self.planned * self.most_ratio)
        if least <= self.asked <= most:
            return ""
        return (
            f"the load: {self.asked} checkouts were asked for, {self.planned} were planned, "
            f"needed: {least} to {most}"
        )


@dataclass(frozen=True, slots=True)
class RowCounts:
    """The number of rows of each witness, and of captures among them.

    `requests` were sent, `unanswered` of them have no answer on record.
    """

    posting_lines: int
    charges: int
    acknowledgements: int
    posted_captures: int
    booked_captures: int
    acknowledged_captures: int
    requests: int = 0
    unanswered: int = 0


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
    balances: tuple[Balance, ...] = ()
    load: LoadDriven | None = None

    @property
    def missing_evidence(self) -> tuple[str, ...]:
        """Return one sentence for each witness that saw too few captures, or not what was planned."""
        needs = (
            ("the ledger", self.rows.posted_captures, self.minimum.posted_captures),
            ("the providers' books", self.rows.booked_captures, self.minimum.booked_captures),
            (
                "the client's acknowledgement log",
                self.rows.acknowledged_captures,
                self.minimum.acknowledged_captures,
            ),
        )
        few = [
            f"{witness}: {seen} captures seen, needed: at least {needed}"
            for witness, seen, needed in needs
            if seen < needed
        ]
        load = self.load.problem if self.load is not None else ""
        return (*few, *([load] if load else []), *self._unanswered())

    def _unanswered(self) -> Iterator[str]:
        if self.rows.unanswered > self.minimum.unanswered:
            yield (
                f"the clients' requests: {self.rows.unanswered} of {self.rows.requests} have no answer on "
                f"record, allowed: {self.minimum.unanswered}"
            )

    @property
    def debts(self) -> tuple[Balance, ...]:
        """Return what merchants owe: a refund or a chargeback came after their payout."""
        return tuple(one for one in self.balances if one.owed_minor < 0)

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
            f"{rows.acknowledgements} answers to {rows.requests} requests",
        ]
        lines += [
            f"{money.operation} {money.currency}: posted {money.posted_minor}, "
            f"in the books {money.booked_minor}, acknowledged {money.acknowledged_minor} (minor units)"
            for money in self.totals
        ]
        lines += [
            f"owed to {one.merchant}: {one.owed_minor} {one.currency} (minor units)"
            for one in self.balances[:_SHOWN_MAX]
        ]
        lines += [f"too little evidence: {text}" for text in self.missing_evidence]
        lines += [
            f"{found.kind}: {found.subject}: {found.detail}" for found in self.discrepancies[:_SHOWN_MAX]
        ]
        hidden = len(self.discrepancies) - _SHOWN_MAX
        if hidden > 0:
            lines.append(f"and {hidden} more")
        return "\n".join(lines)
