"""The closed sets of a witness file: roles, shapes, units, signs, kinds and accounts."""

from enum import StrEnum


class Role(StrEnum):
    """What a witness saw: the team's own postings, a provider's operations, or what callers were told."""

    LEDGER = "ledger"
    BOOK = "book"
    ANSWERS = "answers"


class Shape(StrEnum):
    """What one row of a ledger is: a line of an entry, a transfer between two accounts, a whole payment."""

    LINES = "lines"
    TWO_SIDED = "two_sided"
    SINGLE = "single"


class Unit(StrEnum):
    """What 1 means: the smallest unit of the currency, or the currency itself."""

    MINOR = "minor"
    MAJOR = "major"


class Sign(StrEnum):
    """What the sign of an amount says.

    `unsigned` amounts are never negative. `by_kind` ones neither: the kind says which way the money went.
    `absolute` is for books that write what goes back with a minus: there the kind says it too.
    """

    UNSIGNED = "unsigned"
    DEBIT_POSITIVE = "debit_positive"
    CREDIT_POSITIVE = "credit_positive"
    BY_KIND = "by_kind"
    ABSOLUTE = "absolute"


class Kind(StrEnum):
    """What the kinds of a witness may stand for.

    `fee`, `exchange` and `other` move money that no other witness has an operation for; `no_money` moves
    none. `suspense` is money that the team cannot explain yet, `suspense_release` what became of it.
    """

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    REFUND = "refund"
    VOID = "void"
    PAYOUT = "payout"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSAL = "chargeback_reversal"
    FEE = "fee"
    EXCHANGE = "exchange"
    SUSPENSE = "suspense"
    SUSPENSE_RELEASE = "suspense_release"
    OTHER = "other"
    NO_MONEY = "no_money"


class AccountRole(StrEnum):
    """What the accounts of a ledger may stand for.

    `provider_fee` is what a provider keeps, `fee` what the team keeps. A `hold` promises money and is none.
    """

    RECEIVABLE = "receivable"
    PAYABLE = "payable"
    PAYOUT_CLEARING = "payout_clearing"
    PROVIDER_FEE = "provider_fee"
    FEE = "fee"
    SUSPENSE = "suspense"
    HOLD = "hold"
    OTHER = "other"


SIGNS: dict[Shape | Role, tuple[Sign, ...]] = {
    Shape.LINES: (Sign.DEBIT_POSITIVE, Sign.CREDIT_POSITIVE),
    Shape.TWO_SIDED: (Sign.UNSIGNED,),
    Shape.SINGLE: (Sign.BY_KIND,),
    Role.BOOK: (Sign.BY_KIND, Sign.ABSOLUTE),
    Role.ANSWERS: (Sign.BY_KIND,),
}
"""The signs that each shape of a ledger, or each other role, may have."""

KINDS: dict[Role, tuple[Kind, ...]] = {
    Role.LEDGER: (
        Kind.CAPTURE,
        Kind.REFUND,
        Kind.PAYOUT,
        Kind.CHARGEBACK,
        Kind.CHARGEBACK_REVERSAL,
        Kind.FEE,
        Kind.EXCHANGE,
        Kind.SUSPENSE,
        Kind.SUSPENSE_RELEASE,
        Kind.OTHER,
        Kind.NO_MONEY,
    ),
    Role.BOOK: tuple(kind for kind in Kind if kind not in (Kind.SUSPENSE, Kind.SUSPENSE_RELEASE)),
    Role.ANSWERS: (Kind.AUTHORIZE, Kind.CAPTURE, Kind.REFUND, Kind.VOID, Kind.PAYOUT, Kind.NO_MONEY),
}
"""What the kinds of each role may stand for."""
