"""refpay's ledger as any team's: lines in minor units, with holds, suspense, fees, exchanges."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.oracle.world import Rows
from tests.witnesses import teams
from tests.witnesses.conftest import OpenTeam, Shop

from moneypath.oracle import ChargeStatus, PostingLine

YAML = """
currencies: {EUR: 2, USD: 2}
witnesses:
  - id: ledger
    role: ledger
    dsn_file: secrets/dsn
    sql: sql/ledger.sql
    shape: lines
    kinds:
      capture: [posting, capture]
      refund: [reversal, refund]
      payout: [payout]
      chargeback: [chargeback]
      chargeback_reversal: [chargeback_reversal]
      fee: [fee]
      exchange: [fx]
      suspense: [suspense]
      suspense_release: [suspense_release]
      no_money: [hold, release]
    accounts:
      receivable: '^provider_receivable:(?P<provider>\\w+)$'
      payable: '^merchant_payable:(?P<beneficiary>\\w+)$'
      payout_clearing: '^payout_clearing:(?P<provider>\\w+)$'
      provider_fee: '^provider_fees:(?P<provider>\\w+)$'
      suspense: '^suspense:(?P<provider>\\w+)$'
      hold: '^hold_'
      other: '^fx_position:'
  - id: book
    role: book
    dsn_file: secrets/dsn
    sql: sql/book.sql
    kinds: {authorize: [authorize], capture: [capture], refund: [refund], void: [void], payout: [payout],
      chargeback: [chargeback], chargeback_reversal: [chargeback_reversal]}
  - id: client_log
    role: answers
    file: answers.jsonl
    kinds: {authorize: [authorize], capture: [capture], refund: [refund], void: [void], payout: [payout]}
reconcile:
  - {id: all, ledger: ledger, books: [book], answers: client_log}
"""
SCHEMA = f"""
CREATE TABLE lines ({", ".join(f"{name} text" for name in PostingLine._fields)});
CREATE TABLE charges (provider text, key text, kind text, reference text, currency text, status text,
    provider_reference text, parent text, at timestamptz, amount numeric);
"""
LEDGER = """
SELECT entry_id, entry_kind AS kind, provider, payment_id, merchant_reference, idempotency_key,
    CASE WHEN entry_kind LIKE 'chargeback%' THEN idempotency_key ELSE provider_key END AS provider_key,
    nullif(merchant, '') AS beneficiary, currency, to_timestamp(posted_at::float8) AS posted_at,
    amount_minor AS amount, account
FROM lines
"""


def open_refpay(open_team: OpenTeam, rows: Rows) -> Shop:
    """Have a team whose records are these."""
    lines = [tuple(str(value) for value in line) for line in rows.postings]
    charges = [
        (
            one.provider, one.key, one.operation.value, one.reference, one.currency, one.status.value,
            one.provider_reference, one.parent, datetime.fromtimestamp(one.at, UTC), one.amount_minor,
        )
        for one in rows.book
    ]  # fmt: skip
    queries = {"ledger": LEDGER, "book": "SELECT * FROM charges"}
    made: Callable[..., teams.Rows] = lambda _: {"lines": lines, "charges": charges}  # noqa: E731 - a stub
    shop = open_team(teams.Team("export", SCHEMA, made, queries, "", {}))
    shop.file.write_text(YAML, encoding="utf-8")
    _write_answers(shop.folder / "answers.jsonl", rows)
    assert {one.status for one in rows.book} <= set(ChargeStatus)
    return shop


def _write_answers(file: Path, rows: Rows) -> None:
    told = [
        {
            "idempotency_key": one.idempotency_key, "merchant_reference": one.merchant_reference,
            "kind": one.operation.value, "beneficiary": one.merchant or None, "currency": one.currency,
            "outcome": one.outcome.value, "at": one.at, "amount": one.amount_minor,
        }
        for one in rows.answers
    ]  # fmt: skip
    file.write_text("".join(json.dumps(line) + "\n" for line in told), encoding="utf-8")
