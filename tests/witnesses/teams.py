"""Four teams: the tables of each, what it writes, how a unit is spoilt there, and its witness file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.witnesses.business import DIGITS, Event

CURRENCIES = f"currencies: {{{', '.join(f'{code}: {digits}' for code, digits in DIGITS.items())}}}\n"
Rows = Mapping[str, Sequence[Sequence[Any]]]

ANSWERS_YAML = """
  - id: client_log
    role: answers
    file: answers.jsonl
    kinds: {capture: [capture], refund: [refund], payout: [payout]}
"""
RECONCILE = (
    "reconcile:\n  - {{id: all, ledger: {ledger}, books: [{book}], answers: client_log, settle: 1m}}\n"
)


@dataclass(frozen=True, slots=True)
class Team:
    """One team. `changes` spoil one unit each, by name; `spoilt` is the witness that they change."""

    name: str
    schema: str
    rows: Callable[[Sequence[Event]], Rows]
    queries: Mapping[str, str]
    yaml: str
    changes: Mapping[str, str]


def _wallet(events: Sequence[Event]) -> Rows:
    """Write transfers between wallets: a sale is held first and then committed under its hold."""
    wallets: list[tuple[Any, ...]] = []
    orders = []
    for one in events:
        order, shop = f"@{one.provider}-{one.currency}", f"@merchant-{one.merchant}-{one.currency}"
        bank = f"@payout_clearing-{one.provider}-{one.currency}"
        source, target = {"capture": (order, shop), "payout": (shop, bank)}.get(one.kind, (shop, order))
        place, parent = f"txn-{one.number}", None
        if one.kind == "capture":
            parent = f"hold-{one.number}"
            wallets.append(
                (parent, None, "INFLIGHT", "sale", source, target, one.minor, one.currency, one.at)
            )
        wallets.append((place, parent, "APPLIED", one.kind, source, target, one.minor, one.currency, one.at))
        orders.append((parent or place, one.provider, one.key, one.order, one.asked, one.merchant))
    first = events[0]
    own = ("@treasury-main", "@treasury-reserve", 5_000, first.currency, first.at)
    return {"wallet": [*wallets, ("txn-t", None, "APPLIED", "treasury", *own)], "orders": orders}


WALLETS = Team(
    name="wallets",
    schema="""
CREATE TABLE wallet (id text, parent text, status text, kind text, source text, destination text,
    amount numeric, currency text, created_at timestamptz);
CREATE TABLE orders (hold text, provider text, provider_key text, reference text, asked text, merchant text);
CREATE TABLE balances (account text, amount numeric);
""",
    rows=_wallet,
    queries={
        "ledger": """
-- Money comes to an account as a debit here: the provider's debt is the source of a sale.
SELECT row.id AS entry_id, CASE row.status WHEN 'INFLIGHT' THEN 'hold' ELSE row.kind END AS kind,
    orders.provider, orders.provider_key, orders.reference AS merchant_reference,
    orders.asked AS idempotency_key, NULL AS payment_id, orders.merchant AS beneficiary, row.currency,
    row.created_at AS posted_at, row.amount, row.source AS debit_account, row.destination AS credit_account
FROM wallet AS row LEFT JOIN orders ON orders.hold = coalesce(row.parent, row.id);
"""
    },
    yaml="""
  - id: wallet_rows
    role: ledger
    dsn_file: secrets/dsn
    sql: sql/ledger.sql
    shape: two_sided
    amount: {unit: minor, sign: unsigned}
    kinds:
      {capture: [capture], refund: [refund], payout: [payout], chargeback: [chargeback], other: [treasury],
       no_money: [hold]}
    accounts:
      receivable: '^@(?P<provider>north|south)-'
      payout_clearing: '^@payout_clearing-(?P<provider>\\w+)-'
      payable: '^@merchant-(?P<beneficiary>\\w+)-'
      other: '^@treasury-'
""",
    changes={
        "lost": "DELETE FROM wallet WHERE id = 'txn-1'",
        "doubled": "INSERT INTO wallet SELECT 'txn-x', parent, status, kind, source, destination, amount, "
        "currency, created_at FROM wallet WHERE id = 'txn-1'",
        "wrong": "UPDATE wallet SET amount = amount + 500 WHERE id = 'txn-1'",
        "re-addressed": "UPDATE wallet SET destination = '@merchant-thief-' || currency WHERE id = 'txn-1'",
        "fractional": "UPDATE wallet SET amount = amount + 0.4 WHERE id = 'txn-1'",
    },
)


def _classic(events: Sequence[Event]) -> Rows:
    """Write a journal with lines in major units; what a provider keeps of a sale is a line of its own."""
    words = {"capture": "INV", "refund": "CRN", "payout": "PAY", "chargeback": "CBK"}
    journal, lines = [], []
    for one in events:
        facts = (one.provider, one.key, one.order, one.asked, one.merchant, one.currency, one.at)
        journal.append((one.number, words[one.kind], *facts))
        debt, shop = f"1200-{one.provider}", f"2100-{one.merchant}"
        bank = f"1900-PAYOUTS-{one.provider}"
        theirs, sign = (bank, -1) if one.kind == "payout" else (debt, 1 if one.kind == "capture" else -1)
        lines += [(one.number, theirs, sign * one.major), (one.number, shop, -sign * one.major)]
        if one.fee:
            kept = one.major * one.fee / one.minor
            lines += [(one.number, f"5100-{one.provider}", kept), (one.number, debt, -kept)]
    return {"journal": journal, "journal_line": lines}


CLASSIC = Team(
    name="classic",
    schema="""
CREATE TABLE journal (id bigint, type text, provider text, provider_key text, reference text, asked text,
    merchant text, currency text, posted_at timestamptz);
CREATE TABLE journal_line (journal_id bigint, account text, amount numeric);
""",
    rows=_classic,
    queries={
        "ledger": """
SELECT journal.id AS entry_id, type AS kind, provider, provider_key, reference AS merchant_reference,
    asked AS idempotency_key, merchant AS beneficiary, currency, posted_at, amount, account
FROM journal LEFT JOIN journal_line ON journal_id = journal.id
"""
    },
    yaml="""
  - id: books
    role: ledger
    dsn_file: secrets/dsn
    sql: sql/ledger.sql
    shape: lines
    amount: {unit: major, sign: debit_positive}
    kinds: {capture: [INV], refund: [CRN], payout: [PAY], chargeback: [CBK], other: [ADJ]}
    accounts:
      receivable: '^1200-(?P<provider>\\w+)'
      payout_clearing: '^1900-PAYOUTS-(?P<provider>\\w+)'
      payable: '^2100-(?P<beneficiary>\\w+)'
      provider_fee: '^5100-(?P<provider>\\w+)'
""",
    changes={
        "lost": "DELETE FROM journal WHERE id = 1; DELETE FROM journal_line WHERE journal_id = 1",
        "doubled": "INSERT INTO journal SELECT 1000, type, provider, provider_key, reference, asked, "
        "merchant, currency, posted_at FROM journal WHERE id = 1; "
        "INSERT INTO journal_line SELECT 1000, account, amount FROM journal_line WHERE journal_id = 1",
        "wrong": "UPDATE journal_line SET amount = amount + sign(amount) * 5 WHERE journal_id = 1 "
        "AND account !~ '^5100' AND abs(amount) = (SELECT max(amount) FROM journal_line "
        "WHERE journal_id = 1)",
        "re-addressed": "UPDATE journal_line SET account = '2100-thief' "
        "WHERE journal_id = 1 AND account ~ '^2100'",
        "fractional": "UPDATE journal_line SET amount = amount + sign(amount) * 4e-19 "
        "WHERE journal_id = 1 AND account ~ '^(2100|1200)'",
    },
)


def _payments(events: Sequence[Event]) -> Rows:
    """Write one row a movement, and one for each authorization, which moves nothing."""
    rows = [
        (
            f"p{one.number}", one.kind.upper(), one.provider, one.key, one.order, one.asked, one.merchant,
            one.currency, one.at.isoformat(), one.minor,
        )
        for one in events
    ]  # fmt: skip
    held = [(f"a{row[0]}", "AUTHORIZE", *row[2:]) for row in rows if row[1] == "CAPTURE"]
    return {"payments": [*held, *rows]}


PAYMENTS = Team(
    name="payments",
    schema="""
CREATE TABLE payments (id text, type text, provider text, key text, reference text, asked text,
    merchant text, currency text, created text, amount numeric);
""",
    rows=_payments,
    queries={
        "ledger": """
SELECT id AS entry_id, type AS kind, provider, key AS provider_key, reference AS merchant_reference,
    asked AS idempotency_key, merchant AS beneficiary, currency, created AS posted_at, amount
FROM payments
"""
    },
    yaml="""
  - id: payments_table
    role: ledger
    dsn_file: secrets/dsn
    sql: sql/ledger.sql
    shape: single
    amount: {unit: minor, sign: by_kind}
    kinds:
      {capture: [CAPTURE], refund: [REFUND], payout: [PAYOUT], chargeback: [CHARGEBACK],
       no_money: [AUTHORIZE, VOID]}
""",
    changes={
        "lost": "DELETE FROM payments WHERE id = 'p1'",
        "doubled": "INSERT INTO payments SELECT 'px', type, provider, key, reference, asked, merchant, "
        "currency, created, amount FROM payments WHERE id = 'p1'",
        "wrong": "UPDATE payments SET amount = amount + 500 WHERE id = 'p1'",
        "re-addressed": "UPDATE payments SET merchant = 'thief' WHERE id = 'p1'",
        "fractional": "UPDATE payments SET amount = amount + 0.4 WHERE id = 'p1'",
    },
)


def _export(events: Sequence[Event]) -> Rows:
    """Write the provider's own export: gross, fee and net in each row, money that goes back with a minus."""
    words = {"capture": "charge", "refund": "refund", "payout": "payout", "chargeback": "adjustment"}
    rows = []
    for one in events:
        gross = one.minor if one.kind == "capture" else -one.minor
        net = gross - one.fee
        rows.append((
            one.own, words[one.kind], one.provider, one.key, one.order, gross, one.fee, net, one.currency,
            one.parent, one.at,
        ))  # fmt: skip
    first = events[0]
    moved = (
        "txfer",
        "transfer",
        first.provider,
        "key-t",
        None,
        -700,
        0,
        -700,
        first.currency,
        None,
        first.at,
    )
    return {**_classic(events), "balance_transactions": [*rows, moved]}


EXPORT = Team(
    name="export",
    schema=CLASSIC.schema
    + """
CREATE TABLE balance_transactions (id text, type text, provider text, idempotency_key text, "order" text,
    gross numeric, fee numeric, net numeric, currency text, source text, created timestamptz);
""",
    rows=_export,
    queries={
        "ledger": CLASSIC.queries["ledger"],
        "book": """
SELECT provider, idempotency_key AS key, type AS kind, "order" AS reference, currency,
    id AS provider_reference, source AS parent, created AS at, gross AS amount, fee
FROM balance_transactions
""",
    },
    yaml=CLASSIC.yaml
    + """
  - id: balance_transactions
    role: book
    dsn_file: secrets/dsn
    sql: sql/book.sql
    amount: {unit: minor, sign: absolute}
    kinds: {capture: [charge, payment], refund: [refund], payout: [payout], chargeback: [adjustment],
      other: [fee, transfer]}
""",
    changes={
        "lost": "DELETE FROM balance_transactions WHERE id = 'prov-1'",
        "doubled": "INSERT INTO balance_transactions SELECT * FROM balance_transactions WHERE id = 'prov-1'",
        "wrong": "UPDATE balance_transactions SET gross = gross + 500 WHERE id = 'prov-1'",
        "re-addressed": "UPDATE balance_transactions SET \"order\" = 'order-x' WHERE id = 'prov-1'",
        "fractional": "UPDATE balance_transactions SET gross = gross + 0.4 WHERE id = 'prov-1'",
    },
)

TEAMS = (WALLETS, CLASSIC, PAYMENTS, EXPORT)
LEDGERS = {"wallets": "wallet_rows", "classic": "books", "payments": "payments_table", "export": "books"}
CHANGES = ("lost", "doubled", "wrong", "re-addressed", "fractional")
