"""The yardstick: pgbench runs the SQL of an authorization, the service's own statements, without the service.

`$1` and so on are replaced by what pgbench can make up, in time-ordered ids as the service mints them, so
that the indexes grow alike.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from refpay.audit import repository as audit
from refpay.db.pool import _BY_KEY
from refpay.ledger import repository as ledger
from refpay.outbox import repository as outbox
from refpay.payments import batch_repository as batches
from refpay.payments import claims_repository as claims
from refpay.payments import repository as payments
from refpay.providers import routing
from refpay.risk import card_ranges as risk

CLIENTS = 32
OPTIONS = " ".join(f"-c {name}={value}" for name, value in _BY_KEY.items())
# Payment, operation, key at the provider, two audit records, and so on: one serial number each.
SERIAL = "\\set n :n + 1\n\\set amount random(100, 50000)\n\\set range random(411111, 411150)\n"


def unique(kind: int) -> str:
    """Return a UUID of one kind of row: the serial number first, so that ids ascend, then the client."""
    return f"lpad(to_hex(:n::bigint * 65536 + :client_id * 16 + {kind}), 32, '0')::uuid"


KEY = "'pgb-' || :n || '-' || :client_id"
NOW = "clock_timestamp()"
LAST = "clock_timestamp() + interval '6 s'"
SOON = "clock_timestamp() + interval '7 s'"
BODY = "convert_to(rpad('{', 420, 'x'), 'UTF8')"
AUDIT = {2: NOW, 3: "'shop'", 5: "'operation'", 7: "NULL", 9: "'correlation-of-a-request-of-pgbench'"}


def fill(statement: str, values: Sequence[str] | dict[int, str]) -> str:
    """Return a statement on one line, its parameters replaced."""
    given = values if isinstance(values, dict) else dict(enumerate(values, 1))
    return re.sub(r"\$(\d+)", lambda found: f"({given[int(found[1])]})", " ".join(statement.split())) + ";\n"


def record(kind: int, action: str, after: str, before: str = "NULL", subject: str = "operation") -> str:
    """Return the statement of one audit record."""
    values = {1: unique(kind), 4: f"'{action}'", 6: unique(1), 8: after, **AUDIT}
    return fill(audit._INSERT, values | {5: f"'{subject}'", 7: before})


# With blanks, as `json.dumps` leaves them; without, pgbench takes `:null` for a variable.
FACTS = (
    '{"status": "%s", "captured_minor": 0, "capture_reserved_minor": 0, "released_minor": 0, '
    '"refunded_minor": 0, "refund_reserved_minor": 0, "charged_back_minor": 0}'
)
BEGUN = (
    '{"payment": "00000000-0000-0000-0000-000000000000", "provider": "north", '
    '"status": "started", "amount_minor": 4200, "currency": "EUR"}'
)
ENDED = '{"status": "succeeded", "provider_reference": "ref-1", "decline_code": null}'
STARTED = '{"status": "started"}'
EVENT = "rpad('{', 330, 'x')"


def read_first() -> list[str]:
    """Return what an authorization reads before it is begun."""
    return [
        fill(risk._BLOCKED_AND_RECENT, [
            "ARRAY[:range::text]",
            "ARRAY[:amount <= 500]",
            "clock_timestamp() - interval '60 s'",
            "500",
            "256",
        ]),
        fill(routing._READ, []),
    ]  # fmt: skip


def hold() -> list[str]:
    """Return the statements of the entry that a success posts."""
    # The colon is spelt out, or pgbench takes it for a variable's.
    accounts = "'hold_receivable' || chr(58) || 'north' || chr(31) || 'hold_payable' || chr(58) || 'shop'"
    # Of version 7, for the database refuses an entry that is not dated by its id.
    own = f"overlay(ledger.first_id({NOW})::text placing right({unique(7)}::text, 12) from 25)::uuid"
    legs = [accounts, "'EUR' || chr(31) || 'EUR'", ":amount::text || chr(31) || (-:amount::bigint)::text"]
    entry = [own, "'hold'", unique(1), unique(0), NOW, *legs]
    return [fill(ledger._INSERT, [f"ARRAY[{one}]" for one in entry])]


_INSERT_PAYMENT = """
    INSERT INTO payments.payment (
        id, merchant, merchant_reference, status, amount_minor, currency, card_range, provider, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (merchant, merchant_reference) WHERE status NOT IN ('declined', 'failed') DO NOTHING
    RETURNING id
"""


def one_by_one() -> str:
    """Return both transactions of an authorization with one statement a row, without batches."""
    new_payment = [
        unique(0),
        "'shop'",
        KEY,
        "'authorizing'",
        ":amount",
        "'EUR'",
        ":range::text",
        "'north'",
        NOW,
    ]
    new_operation = [
        unique(1),
        unique(0),
        "'authorize'",
        "'started'",
        ":amount",
        unique(2),
        "'shop'",
        KEY,
        "'correlation-of-a-request-of-pgbench'",
        NOW,
        LAST,
        SOON,
        SOON,
        "NULL",
        "NULL",
    ]
    resolved = [unique(1), "'succeeded'", "'ref-1'", "NULL", NOW, "'shop'"]
    lines = [
        SERIAL,
        "BEGIN;\n",
        fill(claims._CLAIM, ["'shop'", KEY, "sha256('x')", unique(1), NOW]),
        *read_first(),
        fill(_INSERT_PAYMENT, new_payment),
        fill(payments._INSERT_OPERATION, new_operation),
        record(3, "authorize.begun", f"'{BEGUN}'"),
        "COMMIT;\n",
        "BEGIN;\n",
        fill(f"{payments.SELECT_PAYMENT} WHERE id = $1 FOR NO KEY UPDATE", [unique(0)]),
        fill(f"{payments._OPERATION} WHERE id = $1 FOR NO KEY UPDATE", [unique(1)]),
        fill(f"{payments._OPERATION} WHERE payment_id = $1 ORDER BY created_at, id", [unique(0)]),
        fill(payments._SETTLE_OPERATION, resolved),
        fill(payments._UPDATE_PAYMENT, [unique(0), "'authorized'", *["0"] * 6]),
        *hold(),
        record(4, "authorize.succeeded", f"'{ENDED}'", f"'{STARTED}'"),
        record(5, "payment.changed", f"'{FACTS % 'authorized'}'", f"'{FACTS % 'authorizing'}'", "payment"),
        fill(outbox._INSERT, [unique(6), unique(1), "'payment.authorized'", EVENT, NOW, "'{}'"]),
        fill(claims._STORE, ["'shop'", KEY, "201", BODY]),
        "COMMIT;\n",
    ]
    return "".join(lines)


def batched(*, transactions: bool) -> str:
    """Return the statements of the service's batches with one authorization each.

    Without `transactions` they are those that write and nothing else, one trip and one transaction a phase:
    the least that two phases can have.
    """
    begin, commit = ("BEGIN;\n", "COMMIT;\n") if transactions else ("\\startpipeline\n", "\\endpipeline\n")
    correlation = "'correlation-of-a-request-of-pgbench'"
    intent = [
        unique(0),
        "'shop'",
        KEY,
        ":amount",
        "'EUR'",
        ":range::text",
        "'north'",
        unique(1),
        "'authorize'",
        unique(2),
        KEY,
        "sha256('x')",
        correlation,
        LAST,
        SOON,
        unique(3),
        "'authorize.begun'",
        f"'{BEGUN}'",
    ]
    resolved = [
        unique(1),
        unique(0),
        "'authorized'",
        "'succeeded'",
        "'ref-1'",
        "NULL",
        NOW,
        "'shop'",
        "'shop'",
        KEY,
        "201",
        BODY,
        unique(6),
        "'payment.authorized'",
        EVENT,
        "'{}'",
    ]
    ended = [
        unique(1),
        unique(4),
        NOW,
        "'shop'",
        "'authorize.succeeded'",
        "'operation'",
        f"{unique(1)}::text",
    ]
    moved = [unique(1), unique(5), NOW, "'shop'", "'payment.changed'", "'payment'", f"{unique(0)}::text"]
    ended += [f"'{STARTED}'", f"'{ENDED}'", correlation]
    moved += [f"'{FACTS % 'authorizing'}'", f"'{FACTS % 'authorized'}'", correlation]
    records = [f"ARRAY[{one}, {other}]" for one, other in zip(ended, moved, strict=True)]
    reading = [fill(claims._READ_SEVERAL, ["ARRAY['shop']", f"ARRAY[{KEY}]"]), *read_first()]
    lines = [
        SERIAL,
        begin,
        *(reading if transactions else ()),
        fill(batches._INTEND, [
            *(f"ARRAY[{one}]" for one in intent),
            "'authorizing'",
            "'started'",
            NOW,
        ]),
        commit,
        begin,
        fill(batches._RESOLVE, [
            *(f"ARRAY[{one}]" for one in resolved), "'authorizing'", "'started'", *records,
        ]),
        *hold(),
        commit,
    ]  # fmt: skip
    return "".join(lines)


SCRIPTS = {
    "pgbench, a trip a statement": one_by_one(),
    "pgbench, the batches' transactions": batched(transactions=True),
    "pgbench, one trip a phase": batched(transactions=False),
}


class Pgbench:
    """Runs one script for some seconds at a time; ids go on where the last run ended."""

    def __init__(self, server: Path, url: str, password: str, script: str, file: Path, *, start: int) -> None:
        self._program = server.with_name("pgbench")
        self._url = url
        self._environment = {**os.environ, "PGPASSWORD": password, "PGOPTIONS": OPTIONS}
        self._file = file
        self._next = start
        file.write_text(script, encoding="utf-8")

    def run(self, seconds: int) -> float:
        """Return transactions (payments) a second.

        pgbench states no rate if no transaction ended in time, as on a busy machine: then it runs for longer.
        """
        done, found = self._execute(seconds)
        if done.returncode == 0 and found is None:
            done, found = self._execute(10 * seconds)
        if found is None or done.returncode != 0:
            raise RuntimeError(f"pgbench failed: {done.stdout[-500:]} {done.stderr[-500:]}")
        self._next += 1_000_000
        return float(found[1])

    def _execute(self, seconds: int) -> tuple[subprocess.CompletedProcess[str], re.Match[str] | None]:
        command = [
            str(self._program),
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={CLIENTS}",
            "--jobs=1",
            f"--time={seconds}",
            f"--file={self._file}",
            f"--define=n={self._next}",
            self._url,
        ]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)  # noqa: S603
        return done, re.search(r"tps = ([0-9.]+)", done.stdout)
