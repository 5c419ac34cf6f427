"""The book of a provider, as three of the teams get it."""

from collections.abc import Iterable, Sequence
from typing import Any

from tests.witnesses.business import Event

BOOK = """
CREATE TABLE book (provider text, key text, kind text, reference text, amount numeric, currency text,
    status text, provider_reference text, parent text, at timestamptz);
"""
BOOK_SQL = "SELECT * FROM book"
BOOK_YAML = """
  - id: provider_book
    role: book
    dsn_file: secrets/dsn
    sql: sql/book.sql
    kinds: {capture: [charge], refund: [refund], payout: [payout], chargeback: [dispute]}
    statuses: {moved: [ok], refused: ["no"]}
"""
_BOOK_WORDS = {"capture": "charge", "refund": "refund", "payout": "payout", "chargeback": "dispute"}


def book_rows(events: Iterable[Event]) -> Sequence[Sequence[Any]]:
    """Return the provider's book, with a charge that it declined."""
    rows = [
        (
            one.provider, one.key, _BOOK_WORDS[one.kind], one.order, one.minor, one.currency, "ok", one.own,
            one.parent, one.at,
        )
        for one in events
    ]  # fmt: skip
    first = rows[0]
    return [
        *rows,
        (first[0], "key-0", "charge", "order-no", first[4], first[5], "no", "prov-0", None, first[9]),
    ]
