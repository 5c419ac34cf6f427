"""The verdict on a reconciliation: what was compared, what contradicts what, and what nobody can know."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from moneypath.oracle.audit_report import MoneyTotal
from moneypath.oracle.records import Discrepancy
from moneypath.witnesses.faults import Faults
from moneypath.witnesses.tally import Tally
from moneypath.witnesses.window import Window, show_time

SHOWN_MAX = 20
_LISTED_MAX = 1_000


class Result(IntEnum):
    """The exit codes of an audit; 2 is bad input."""

    WHOLE = 0
    NOT_WHOLE = 1
    INCONCLUSIVE = 3


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """What one reconciliation came to. `unknown` is what its witnesses leave open."""

    reconciliation: str
    window: Window
    tallies: tuple[Tally, ...]
    totals: tuple[MoneyTotal, ...]
    discrepancies: tuple[Discrepancy, ...]
    faults: Faults
    unknown: tuple[str, ...]
    empty: tuple[str, ...] = ()

    @property
    def found(self) -> int:
        """Return how many contradictions and unreadable rows there are."""
        return len(self.discrepancies) + self.faults.total

    @property
    def result(self) -> Result:
        """Return the result; of nothing, nothing is proven."""
        if self.found:
            return Result.NOT_WHOLE
        return Result.INCONCLUSIVE if self.empty else Result.WHOLE

    def sentences(self) -> Iterator[str]:
        """Yield the verdict line by line, at most 20 discrepancies among them."""
        yield f"{self.reconciliation}: {self._headline()}"
        yield f"  judged: {self._period()}"
        for tally in self.tallies:
            yield f"  compared: {_describe(tally)}"
        for money in self.totals:
            yield (
                f"  {money.operation} {money.currency}: posted {money.posted_minor}, in the books "
                f"{money.booked_minor}, acknowledged {money.acknowledged_minor} (smallest units)"
            )
        for witness in self.empty:
            yield f"  nothing to compare: {witness} has no operation in this time"
        yield from self._findings()
        for what in self.unknown:
            yield f"  cannot know: {what}"

    def _headline(self) -> str:
        if self.result is Result.WHOLE:
            return "whole, as far as these witnesses can know"
        if self.result is Result.INCONCLUSIVE:
            return "INCONCLUSIVE, nothing was proven"
        return f"NOT WHOLE, {self.found} discrepancies"

    def _period(self) -> str:
        window = self.window
        if not window.is_cut:
            return "all rows"
        since = show_time(window.since) if window.is_partial else "the first row"
        until = show_time(window.until) if window.until < math.inf else "the last"
        return f"from {since} to {until}, with {window.settle:g} s on each side to find counterparts"

    def _findings(self) -> Iterator[str]:
        kinds: Counter[str] = Counter(one.kind.value for one in self.discrepancies)
        kinds.update({kind.value: count for kind, count in self.faults.counts.items()})
        for kind, count in sorted(kinds.items()):
            yield f"  {kind}: {count}"
        shown = [f"{one.kind}: {one.subject}: {one.detail}" for one in self.discrepancies[:SHOWN_MAX]]
        shown += [
            f"{one.kind}: {one.witness} {one.subject} {one.detail}" for one in self.faults.kept[:SHOWN_MAX]
        ]
        for text in shown[:SHOWN_MAX]:
            yield f"  - {text}"
        if self.found > SHOWN_MAX:
            yield f"  - and {self.found - SHOWN_MAX} more"

    def document(self) -> dict[str, object]:
        """Return the verdict as JSON values, with at most 1,000 discrepancies and as many faults."""
        return {
            "reconciliation": self.reconciliation,
            "result": self.result.name.lower(),
            "judged": self._period(),
            "witnesses": [
                {
                    "id": one.witness,
                    "rows": one.rows,
                    "not_judged": one.unjudged,
                    "skipped": dict(one.skipped),
                }
                for one in self.tallies
            ],
            "money": [
                {
                    "operation": money.operation.value,
                    "currency": money.currency,
                    "posted": str(money.posted_minor),
                    "in_the_books": str(money.booked_minor),
                    "acknowledged": str(money.acknowledged_minor),
                }
                for money in self.totals
            ],
            "found": self.found,
            "discrepancies": [_document(one) for one in self.discrepancies[:_LISTED_MAX]],
            "faults": [
                {"kind": one.kind.value, "witness": one.witness, "subject": one.subject, "detail": one.detail}
                for one in self.faults.kept
            ],
            "nothing_to_compare": list(self.empty),
            "cannot_know": list(self.unknown),
        }


def _document(one: Discrepancy) -> dict[str, object]:
    return {
        "kind": one.kind.value,
        "subject": one.subject,
        "detail": one.detail,
        # As text: a reader's numbers may be shorter than money.
        "amount": None if one.amount_minor is None else str(one.amount_minor),
        "currency": one.currency,
    }


def _describe(tally: Tally) -> str:
    parts = [f"{tally.witness}: {tally.rows} rows"]
    parts += [f"{count} of {kind} not compared" for kind, count in sorted(tally.skipped.items())]
    if tally.unjudged:
        parts.append(f"{tally.unjudged} outside of the time that is judged")
    if tally.torn_line is not None:
        parts.append(f"line {tally.torn_line} is cut off and left out")
    return ", ".join(parts)
