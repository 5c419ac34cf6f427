"""The columns that the rows of each witness have, in the order in which they are handed on."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, TypeAlias

from moneypath.witnesses.declaration import Witness
from moneypath.witnesses.vocabulary import Role, Shape

Row: TypeAlias = "tuple[str | float | None, ...]"
"""One row, a value a column in the order of `Columns.all`: texts, and times as Unix seconds or texts."""

_ENTRY: Final = (
    "entry_id",
    "kind",
    "provider",
    "provider_key",
    "merchant_reference",
    "idempotency_key",
    "payment_id",
    "beneficiary",
    "currency",
    "posted_at",
    "amount",
)
_SIDES: Final = {
    Shape.LINES: ("account",),
    Shape.TWO_SIDED: ("debit_account", "credit_account"),
    Shape.SINGLE: (),
}
_BOOK: Final = (
    "provider",
    "key",
    "kind",
    "reference",
    "currency",
    "status",
    "provider_reference",
    "parent",
    "at",
    "amount",
    "fee",
)
_ANSWERS: Final = (
    "idempotency_key",
    "merchant_reference",
    "kind",
    "beneficiary",
    "currency",
    "outcome",
    "at",
    "amount",
)
_MAY_LACK: Final = frozenset(
    ("idempotency_key", "payment_id", "beneficiary", "status", "provider_reference", "parent", "fee")
)
AMOUNTS: Final = frozenset(("amount", "fee"))
TIMES: Final = frozenset(("at", "posted_at"))


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a witness: `all` of them, and those that it `needs`."""

    all: tuple[str, ...]
    needs: frozenset[str]
    time: str

    def find_problem(self, found: Collection[str]) -> tuple[str, str] | None:
        """Return what is wrong with the columns of a source, and what is allowed."""
        missing = sorted(self.needs - set(found))
        unknown = sorted(set(found) - set(self.all))
        if not missing and not unknown:
            return None
        parts = [f"the column {name} is missing" for name in missing]
        parts += [f"the column {name} is unknown" for name in unknown]
        return "; ".join(parts), ", ".join(self.all)


def columns_of(witness: Witness, *, compared_with_answers: bool = False) -> Columns:
    """Return the columns of a witness; answers are joined by idempotency key, so their ledger needs it."""
    if witness.role is Role.BOOK:
        return Columns(_BOOK, frozenset(_BOOK) - _MAY_LACK, "at")
    if witness.role is Role.ANSWERS:
        return Columns(_ANSWERS, (frozenset(_ANSWERS) - _MAY_LACK) | {"idempotency_key"}, "at")
    shape = witness.shape or Shape.LINES
    every = (*_ENTRY, *_SIDES[shape])
    needs = frozenset(every) - _MAY_LACK
    if shape is Shape.SINGLE:
        needs |= {"beneficiary"}
    if compared_with_answers:
        needs |= {"idempotency_key"}
    return Columns(every, needs, "posted_at")
