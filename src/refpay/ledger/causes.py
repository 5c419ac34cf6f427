"""Ask of each entry for its cause: the operation or the settlement report that it books, exactly and once.

SQL of our own, apart from the database's rules, so that an owner who drops a rule there blinds nothing here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from refpay.ledger.entries import Account, EntryKind

_HOLDS: Final = (Account.HOLD_PAYABLE, Account.HOLD_RECEIVABLE)
_MERCHANTS: Final = (Account.HOLD_PAYABLE, Account.MERCHANT_PAYABLE)
FIRST_ID: Final = UUID(int=0)
END_ID: Final = UUID(int=2**128 - 1)
_ID_RANGE_ROWS: Final = 4_000
_ANY_TIME: Final = datetime(9999, 1, 1, tzinfo=UTC)


class _Rule(NamedTuple):
    """What an operation of a kind books: the accounts of its first two lines, debit first.

    `late` means that the operation had been answered with no, and that its provider did it after all.
    """

    entry: EntryKind
    operation: str
    debit: Account
    credit: Account
    late: bool = False
    # What is left of a hold may be less than the operation was for.
    partly: bool = False
    # Two more lines may end an amount of the payment's hold.
    ends_hold: bool = False


_PROVIDER, _MERCHANT = Account.PROVIDER_RECEIVABLE, Account.MERCHANT_PAYABLE
_CLEARING, _SUSPENSE = Account.PAYOUT_CLEARING, Account.SUSPENSE
_RULES: Final = (
    _Rule(EntryKind.HOLD, "authorize", Account.HOLD_RECEIVABLE, Account.HOLD_PAYABLE),
    *(
        _Rule(EntryKind.RELEASE, ended_by, *_HOLDS, late=late, partly=late)
        for ended_by in ("void", "expiry")
        for late in (False, True)
    ),
    _Rule(EntryKind.POSTING, "capture", _PROVIDER, _MERCHANT, ends_hold=True),
    _Rule(EntryKind.REVERSAL, "refund", _MERCHANT, _PROVIDER),
    *(_Rule(EntryKind.PAYOUT, "payout", _MERCHANT, _CLEARING, late=late) for late in (False, True)),
    _Rule(EntryKind.CHARGEBACK, "chargeback", _MERCHANT, _PROVIDER),
    _Rule(EntryKind.CHARGEBACK_REVERSAL, "chargeback_reversal", _PROVIDER, _MERCHANT),
    *(_Rule(EntryKind.SUSPENSE, "undo_capture", _SUSPENSE, _PROVIDER, late=late) for late in (False, True)),
    _Rule(EntryKind.SUSPENSE, "capture", _PROVIDER, _SUSPENSE, late=True, ends_hold=True),
    _Rule(EntryKind.SUSPENSE, "refund", _SUSPENSE, _PROVIDER, late=True),
    _Rule(EntryKind.SUSPENSE_RELEASE, "suspense_release", _MERCHANT, _SUSPENSE),
)


def _account(account: Account) -> str:
    return f"'{account}:' || {'payment.merchant' if account in _MERCHANTS else 'payment.provider'}"


def _condition(rule: _Rule) -> str:
    status = "IN ('declined', 'failed')" if rule.late else "= 'succeeded'"
    amount = "<= operation.amount_minor" if rule.partly else "= operation.amount_minor"
    shape = "cardinality(entry.accounts) = 2"
    if rule.ends_hold:
        held = ", ".join(map(_account, _HOLDS))
        shape += f"""
            OR (entry.accounts[3:] = ARRAY[{held}] AND entry.amounts_minor[3] = -entry.amounts_minor[4]
                AND entry.amounts_minor[3] BETWEEN 1 AND payment.amount_minor)"""
    told = ""
    if rule.late:
        told = """
        AND EXISTS (SELECT FROM audit.event WHERE event.subject_kind = 'operation'
                    AND event.subject_id = operation.id::text AND event.after ->> 'found' = 'succeeded'
                    AND event.action = operation.kind || '.contradicted' OFFSET 0)"""
    return f"""(
        entry.kind = '{rule.entry}' AND operation.kind = '{rule.operation}' AND operation.status {status}
        AND entry.accounts[:2] = ARRAY[{_account(rule.debit)}, {_account(rule.credit)}]
        AND entry.amounts_minor[1] {amount} AND entry.amounts_minor[1] > 0
        AND ({shape}){told})"""


# One payment's or payout's row, as `payment`, of the operation.
_SUBJECT: Final = """
    LATERAL (
        SELECT merchant, provider, currency, amount_minor FROM payments.payment
        WHERE payment.id = operation.payment_id
        UNION ALL
        SELECT merchant, provider, currency, amount_minor FROM payments.payout
        WHERE operation.kind = 'payout' AND payout.id = operation.id
        OFFSET 0) AS payment
"""
_BOOKS: Final = f"""
    entry.payment_id IS NOT DISTINCT FROM operation.payment_id
    AND entry.amounts_minor[2] = -entry.amounts_minor[1]
    AND entry.currencies <@ ARRAY[payment.currency] AND ({" OR ".join(map(_condition, _RULES))})
"""
# What a revision of a settlement report changes of the one that it replaces: its fees in each currency, and
# in each pair of currencies what is exchanged. The entry is written in the transaction of the revision.
_REPORTS: Final = f"""
    SELECT FROM reconciliation.revision
    JOIN reconciliation.import AS imported USING (provider, sequence, revision), LATERAL (
        SELECT array_agg(CASE WHEN side.sign = 1 THEN '{_PROVIDER}:' || revision.provider
                         WHEN entry.kind = 'fee' THEN '{Account.PROVIDER_FEES}:' || revision.provider
                         ELSE '{Account.FX_POSITION}:' || currency END
                         ORDER BY place, side.sign DESC) AS accounts,
               array_agg(currency ORDER BY place, side.sign DESC) AS currencies,
               array_agg(side.sign * owed ORDER BY place, side.sign DESC) AS amounts_minor
        FROM (VALUES (1), (-1)) AS side (sign), (
            SELECT part.pair, part.place, part.currency,
                   sum(CASE line.revision WHEN revision.revision THEN part.owed ELSE -part.owed END) AS owed
            FROM reconciliation.line,
                 LATERAL (SELECT CASE WHEN line.kind IN ('capture', 'chargeback_reversal') THEN 1 ELSE -1 END
                         ) AS direction (sign),
                 LATERAL (VALUES
                     ('fee', line.currency, 1, line.currency, -line.fee_minor),
                     ('fx', line.currency || line.settled_currency, 1, line.currency,
                      -direction.sign * line.amount_minor),
                     ('fx', line.currency || line.settled_currency, 2, line.settled_currency,
                      direction.sign * line.settled_minor)
                 ) AS part (kind, pair, place, currency, owed)
            WHERE line.provider = revision.provider AND line.sequence = revision.sequence
              AND line.revision IN (revision.revision, imported.replaces)
              AND part.kind = entry.kind AND part.pair IS NOT NULL
            GROUP BY part.pair, part.place, part.currency) AS changed
        WHERE owed <> 0 GROUP BY pair) AS expected
    WHERE revision.provider = split_part(entry.accounts[1], ':', 2) AND revision.received_at = entry.posted_at
      AND entry.payment_id IS NULL AND expected.accounts = entry.accounts
      AND expected.currencies = entry.currencies
      AND expected.amounts_minor = entry.amounts_minor::numeric[]
"""  # noqa: S608 - fragments of our own
# A change is booked once, and an entry after it that is alike is a copy.
_ALIKE: Final = """
    SELECT FROM ledger.entry AS first
    WHERE first.id < entry.id AND first.id >= ledger.first_id(entry.posted_at - interval '2 seconds')
      AND first.posted_at = entry.posted_at AND first.kind = entry.kind AND first.accounts = entry.accounts
      AND first.currencies = entry.currencies AND first.amounts_minor = entry.amounts_minor
"""
_IS_POSTED: Final = """
    EXISTS (SELECT FROM ledger.posted
            WHERE posted.operation_id = entry.operation_id AND posted.entry_id = entry.id OFFSET 0)
"""
# A condition on one row of the ledger, `entry`, by a few look-ups. With triggers turned off, an operation can
# be entered twice; then one of the two is not the one that is posted.
UNEXPLAINED: Final = f"""
    NOT ({_IS_POSTED}) OR NOT CASE WHEN entry.kind IN ('fee', 'fx')
        THEN (SELECT count(*) FROM ({_REPORTS}) AS changes) > (SELECT count(*) FROM ({_ALIKE}) AS alike)
        ELSE EXISTS (SELECT FROM payments.operation, {_SUBJECT}
                     WHERE operation.id = entry.operation_id AND {_BOOKS} OFFSET 0) END
"""  # noqa: S608 - fragments of our own
# Common table expressions over the ids from $2 to before $3; `unexplained` holds the entries until $1 without
# a cause. Most operations are in the id range of their entry, which one join shows; others are looked up.
# What is asked of joined rows is a column and no condition, or its guessed selectivity makes a nested loop.
UNEXPLAINED_IN_RANGE: Final = f"""
booked AS MATERIALIZED (
    SELECT * FROM ledger.entry WHERE id >= $2 AND id < $3 AND posted_at <= $1
), subject AS MATERIALIZED (
    SELECT id, merchant, provider, currency, amount_minor FROM payments.payment WHERE id >= $2 AND id < $3
    UNION ALL
    SELECT id, merchant, provider, currency, amount_minor FROM payments.payout WHERE id >= $2 AND id < $3
), explained AS MATERIALIZED (
    SELECT id FROM (
        SELECT entry.id, {_IS_POSTED} AND {_BOOKS} AS holds FROM booked AS entry
        JOIN (SELECT * FROM payments.operation WHERE id >= $2 AND id < $3 OFFSET 0) AS operation
            ON operation.id = entry.operation_id
        JOIN subject AS payment ON payment.id = coalesce(operation.payment_id, operation.id)
        OFFSET 0) AS asked
    WHERE holds
), unexplained AS MATERIALIZED (
    SELECT entry.* FROM (
        SELECT * FROM booked WHERE id NOT IN (SELECT id FROM explained) OFFSET 0) AS entry
    WHERE {UNEXPLAINED}
)
"""  # noqa: S608 - fragments of our own
_ID_RANGE_END: Final = "SELECT id FROM ledger.entry WHERE id > $1 ORDER BY id OFFSET $2 LIMIT 1"
_LISTED: Final = f"WITH {UNEXPLAINED_IN_RANGE} SELECT id FROM unexplained ORDER BY id"  # noqa: S608


async def find_unexplained(connection: Any, *, most: int) -> Sequence[UUID]:
    """Return the ids of up to `most` entries that neither an operation nor a report stands behind, in order.

    It reads the whole ledger but cold storage. The connection has to be in a repeatable-read transaction.
    """
    found: list[UUID] = []
    start: UUID | None = FIRST_ID
    while start is not None and len(found) < most:
        end = await connection.fetchval(_ID_RANGE_END, start, _ID_RANGE_ROWS)
        rows = await connection.fetch(_LISTED, _ANY_TIME, start, end or END_ID)
        found += [row["id"] for row in rows]
        start = end
    return found[:most]
