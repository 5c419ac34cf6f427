"""Have the oracle compare the witnesses of a reconciliation, and say what came of it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from moneypath.oracle.audit import audit
from moneypath.oracle.audit_report import MinimumEvidence
from moneypath.oracle.checks import Check
from moneypath.oracle.evidence import Scope
from moneypath.oracle.records import Discrepancy, DiscrepancyKind, Operation
from moneypath.witnesses.declaration import Reconciliation, Witness, WitnessFile
from moneypath.witnesses.entry_rules import rules_for
from moneypath.witnesses.method import Facts, choose_checks, list_unknowns
from moneypath.witnesses.reader import Reader
from moneypath.witnesses.verdict import AuditVerdict
from moneypath.witnesses.vocabulary import AccountRole, Shape
from moneypath.witnesses.window import Window

# Fewer than the oracle's own: two processes audit what is spilled, while one would hold all of it.
ROWS_IN_MEMORY: Final = 150_000
_ASKED_FOR = (Operation.CAPTURE, Operation.REFUND, Operation.PAYOUT)


def reconcile(
    declared: WitnessFile,
    one: Reconciliation,
    folder: Path,
    window: Window,
    *,
    rows_in_memory: int = ROWS_IN_MEMORY,
) -> AuditVerdict:
    """Compare the witnesses of one reconciliation.

    The paths of the witnesses begin at `folder`. Raises WitnessInvalid and WitnessUnreadable.
    """
    reader = Reader(declared, one, folder, window)
    report = audit(
        reader.postings(),
        reader.charges(),
        reader.acknowledgements(),
        scope=Scope(asked_for=_asked_for(reader.answers)),
        minimum=MinimumEvidence(0, 0, 0),
        rows_in_memory=rows_in_memory,
        checks=_choose(reader),
        rules=rules_for(reader.ledger.accounts if reader.ledger else ()),
    )
    facts = _facts(reader)
    found = [each for each in report.discrepancies if each.at is None or window.judges(each.at)]
    if facts.compares_fees:
        found += _compare_fees(reader)
    return AuditVerdict(
        reconciliation=one.id,
        window=window,
        tallies=tuple(reader.tallies.values()),
        totals=report.totals,
        discrepancies=tuple(found),
        faults=reader.faults,
        unknown=tuple(list_unknowns(facts)),
        empty=tuple(_find_empty(reader)),
    )


def _choose(reader: Reader) -> Iterator[Check]:
    """Yield the checks that apply: it is asked for them after the last row, when all columns are known."""
    yield from choose_checks(_facts(reader))


def _facts(reader: Reader) -> Facts:
    ledger, books = reader.ledger, [reader.tallies[book.id] for book in reader.books]
    named = any(
        "beneficiary" in reader.tallies[one.id].columns for one in (ledger, reader.answers) if one is not None
    )
    kept = ledger is not None and AccountRole.PROVIDER_FEE in ledger.accounts
    # Totals agree only where nothing is left out: a sale and its fee may lie on two sides of an edge.
    settled = not reader.window.is_partial and not any(one.unjudged for one in reader.tallies.values())
    return Facts(
        ledger=ledger is not None,
        book=bool(books),
        answers=reader.answers is not None,
        claims_zero_sum=ledger is None or ledger.shape is not Shape.SINGLE,
        names_parents=all("parent" in book.columns for book in books),
        names_beneficiaries=named,
        has_authorizations=reader.has_authorizations,
        several_captures=reader.one.several_captures,
        is_partial=reader.window.is_partial,
        compares_fees=kept and settled and all("fee" in one.columns for one in books),
    )


def _asked_for(answers: Witness | None) -> frozenset[Operation]:
    """Return the operations that answers are on record of."""
    kinds = {kind.value for kind in answers.kinds} if answers is not None else set()
    return frozenset(operation for operation in _ASKED_FOR if operation.value in kinds)


def _compare_fees(reader: Reader) -> Iterator[Discrepancy]:
    """Yield where the ledger and the books say that a provider kept different amounts."""
    ledger = reader.ledger
    booked = reader.tallies[ledger.id].fees if ledger is not None else Counter()
    kept: Counter[tuple[str, str]] = Counter()
    for book in reader.books:
        kept.update(reader.tallies[book.id].fees)
    for provider, currency in sorted({*booked, *kept}):
        mine, theirs = booked[provider, currency], kept[provider, currency]
        if mine != theirs:
            detail = f"the ledger has {mine} {currency} of fees, the book of {provider} {theirs}"
            kind = DiscrepancyKind.FEE_DIFFERS
            yield Discrepancy(kind, provider, detail, abs(mine - theirs), currency)


def _find_empty(reader: Reader) -> Iterator[str]:
    """Yield the witnesses of which no row in the time that is judged could be compared."""
    if reader.ledger is not None and not reader.tallies[reader.ledger.id].is_compared:
        yield reader.ledger.id
    if reader.books and not any(reader.tallies[book.id].is_compared for book in reader.books):
        yield ", ".join(reader.one.books)
    if reader.answers is not None and not reader.tallies[reader.answers.id].is_compared:
        yield reader.answers.id
