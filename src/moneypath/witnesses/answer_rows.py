"""Turn what callers were told into the oracle's acknowledgements."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from moneypath.oracle.records import Acknowledgement, Operation, Outcome
from moneypath.witnesses.columns import Row
from moneypath.witnesses.faults import FaultKind, show
from moneypath.witnesses.reading import Reading
from moneypath.witnesses.vocabulary import Kind

_OWN_WORDS: Final[Mapping[str | float | None, Outcome]] = {outcome.value: outcome for outcome in Outcome}
_AUTHORIZATIONS: Final = frozenset((Kind.AUTHORIZE, Kind.VOID))


@dataclass(slots=True)
class AnswerRows:
    """Translates rows of answers; authorizations only where every book has them."""

    reading: Reading
    with_authorizations: bool

    def answers(self, rows: Iterable[Row]) -> Iterator[Acknowledgement]:
        """Yield the answers of these rows."""
        reading, outcomes = self.reading, self._outcomes()
        for row in rows:
            reading.tally.rows += 1
            asked, reference, raw, beneficiary, currency, word, at_text, amount = row
            kind = reading.kinds.get(raw)
            at = reading.read_time(at_text, asked)
            if at is None:
                continue
            if kind is None:
                reading.refuse_kind(asked, raw)
                continue
            if kind is Kind.NO_MONEY or (kind in _AUTHORIZATIONS and not self.with_authorizations):
                reading.tally.skipped[kind] += 1
                continue
            if asked is None:
                asked = reading.name_row("idempotency_key")
            if currency not in reading.currencies:
                reading.refuse_currency(asked, currency)
            outcome = outcomes.get(word)
            if outcome is None:
                reading.add(FaultKind.WORD_UNDECLARED, asked, f"has the outcome {show(word)}")
                outcome = Outcome.UNKNOWN
            minor, misstated = reading.read_amount(amount, str(currency or ""))
            if misstated or minor < 0:
                shown = misstated or str(amount)
                reading.add(FaultKind.AMOUNT_INVALID, asked, f"is over {shown} {show(currency)}")
                minor = max(minor, 0)
            yield tuple.__new__(
                Acknowledgement,
                (
                    at, Operation(kind.value), asked, reference or "", None, minor, currency or "", 0,
                    outcome, False, beneficiary or "",
                ),
            )  # fmt: skip

    def _outcomes(self) -> Mapping[str | float | None, Outcome]:
        declared = self.reading.witness.outcomes
        if not declared:
            return _OWN_WORDS
        return {word: Outcome(to) for to, words in declared.items() for word in words}
