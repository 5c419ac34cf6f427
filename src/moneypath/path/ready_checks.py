"""The ready checks on a ledger: which table and columns hold what, as pydantic models.

A mapping holds names of tables and columns, and plain values to compare with. It holds no SQL.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _one_or_more(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    # What a validator returns is taken as Python's, in which a list is no tuple.
    return tuple(value) if isinstance(value, list) else value


Identifier = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="the name of a column as the database spells it, at most 63 characters",
    ),
]
Table = Annotated[
    tuple[Identifier, ...],
    BeforeValidator(_one_or_more),
    Field(min_length=1, max_length=2, description="the name of a table or view, or [schema, table]"),
]
Columns = Annotated[
    tuple[Identifier, ...],
    BeforeValidator(_one_or_more),
    Field(min_length=1, max_length=8, description="a column, or a list of columns"),
]
Value = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")] | int
Values = Annotated[
    tuple[Value, ...], Field(min_length=1, max_length=100, description="values of the column, at least one")
]
Conditions = Annotated[
    dict[Identifier, Values],
    Field(max_length=8, description="for each column the values that it may have"),
]
DeadlineSeconds = Annotated[
    int, Field(ge=1, le=31_536_000, description="whole seconds from 1 to 31536000, a year")
]


class Mapped(BaseModel):
    """The base of every mapping: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Rows(Mapped):
    """The rows of a table: those of the values in `where`, without those in `unless`."""

    table: Table
    where: Conditions = {}
    unless: Conditions = {}


class EntrySide(Mapped):
    """The column that says whether an unsigned amount is a debit or a credit."""

    column: Identifier
    debit: Values
    credit: Values


class Lines(Rows):
    """Rows with an amount: signed, or unsigned with the side beside it."""

    amount: Identifier
    side: EntrySide | None = None


class Moved(Rows):
    """Rows of which each is a movement of money."""

    reference: Columns
    amount: Identifier
    currency: Identifier
    at: Identifier


class Counterparts(Rows):
    """Rows that a movement of money has to lead to, found by the same reference."""

    reference: Columns


class ZeroSum(Lines):
    """The lines of each entry sum to zero in each currency."""

    kind: Literal["zero_sum"]
    entry: Identifier
    currency: Identifier
    at: Identifier | None = None


class Balances(Rows):
    """The balance that the ledger keeps of each account, in a currency of its own if it has that column."""

    account: Identifier
    balance: Identifier
    currency: Identifier | None = None
    opposite_sign: bool = Field(default=False, description="true if a balance is minus the sum")


class AccountMovements(Lines):
    """The movements of accounts: one account a row, or a `source` and a `destination`."""

    account: Identifier | None = None
    source: Identifier | None = None
    destination: Identifier | None = None
    currency: Identifier | None = None
    at: Identifier | None = None


class BalanceIsSum(Mapped):
    """Each balance is the sum of its movements."""

    kind: Literal["balance_is_sum"]
    balances: Balances
    movements: AccountMovements


class CaptureWithoutPosting(Mapped):
    """Every capture older than the deadline has a posting."""

    kind: Literal["capture_without_posting"]
    captures: Moved
    postings: Counterparts
    deadline_seconds: DeadlineSeconds


class PostingWithoutCapture(Mapped):
    """Every posting older than the deadline has a capture."""

    kind: Literal["posting_without_capture"]
    postings: Moved
    captures: Counterparts
    deadline_seconds: DeadlineSeconds


class DuplicateReference(Moved):
    """No reference moves money twice."""

    kind: Literal["duplicate_reference"]


class NegativeBalance(Rows):
    """No balance is below zero."""

    kind: Literal["negative_balance"]
    account: Identifier
    balance: Identifier
    currency: Identifier
    at: Identifier | None = None
    opposite_sign: bool = Field(default=False, description="true if what is owed is positive")


class StuckInFlight(Rows):
    """No row stays in flight longer than the deadline; `where` says which rows are in flight."""

    kind: Literal["stuck_in_flight"]
    id: Identifier
    amount: Identifier
    currency: Identifier
    at: Identifier
    deadline_seconds: DeadlineSeconds


ReadyCheck: TypeAlias = (
    ZeroSum
    | BalanceIsSum
    | CaptureWithoutPosting
    | PostingWithoutCapture
    | DuplicateReference
    | NegativeBalance
    | StuckInFlight
)
AnyReadyCheck = Annotated[ReadyCheck, Field(discriminator="kind")]
