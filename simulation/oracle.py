"""What must hold after each COMMIT, and in the end; read from outside, as the database has it."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from refpay.payments.lifecycle import LIFE_CYCLE
from refpay.providers.port import CallKind
from simulation.provider import Book, Effect
from simulation.world import World

_OPERATIONS: Final = """
    SELECT operation.id, operation.payment_id, operation.kind, operation.status, operation.amount_minor,
           operation.provider_key, payment.provider, payment.currency, payment.merchant_reference,
           claimed.key AS claim, claimed.response_status AS answered, posted.kind AS posted,
           coalesce(posted.owed, 0) AS owed, coalesce(posted.held, 0) AS held,
           (SELECT count(*) FROM audit.event WHERE subject_kind = 'operation'
                AND subject_id = operation.id::text AND action = operation.kind || '.begun') AS begun,
           (SELECT count(*) FROM audit.event WHERE subject_kind = 'operation'
                AND subject_id = operation.id::text
                AND action = ANY (ARRAY[operation.kind || '.succeeded', operation.kind || '.declined',
                                        operation.kind || '.failed'])) AS ended,
           (SELECT count(*) FROM outbox.event WHERE event.operation_id = operation.id) AS told
    FROM payments.operation JOIN payments.payment ON payment.id = operation.payment_id
    LEFT JOIN payments.idempotency_key AS claimed ON claimed.operation_id = operation.id
    LEFT JOIN LATERAL (
        SELECT string_agg(DISTINCT line.kind, '+') AS kind,
               sum(line.amount_minor) FILTER (WHERE line.account = 'merchant_payable:' || payment.merchant
                   AND line.currency = payment.currency) AS owed,
               sum(line.amount_minor) FILTER (WHERE line.account = 'hold_receivable:' || payment.provider
                   AND line.currency = payment.currency) AS held
        FROM ledger.posted JOIN ledger.line ON line.entry_id = posted.entry_id
        WHERE posted.operation_id = operation.id AND line.operation_id = operation.id) AS posted ON true
    WHERE payment.merchant = %(merchant)s
"""
_PAYMENTS: Final = """
    SELECT id, status, amount_minor, captured_minor, capture_reserved_minor, refunded_minor,
           refund_reserved_minor, released_minor
    FROM payments.payment WHERE merchant = %(merchant)s
"""
_UNBALANCED: Final = """
    SELECT line.entry_id AS id
    FROM payments.payment JOIN payments.operation ON operation.payment_id = payment.id
    JOIN ledger.posted ON posted.operation_id = operation.id
    JOIN ledger.line ON line.entry_id = posted.entry_id WHERE payment.merchant = %(merchant)s
    GROUP BY line.entry_id, line.currency HAVING sum(line.amount_minor) <> 0
"""
_GONE_SECONDS: Final = 10
_FINAL: Final = ("succeeded", "declined", "failed")
# What is posted for what is done.
_POSTED: Final = {
    "authorize": "hold",
    "capture": "posting",
    "void": "release",
    "expiry": "release",
    "refund": "reversal",
}


class Oracle:
    """Compares the database with the providers' books for one history."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
        self._connection.prepare_threshold = 1

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def blockers(self, backends: set[int]) -> dict[int, set[int]]:
        """Return which backends wait for a lock, and for whom."""
        # Not by pg_stat_activity: what has been granted its lock shows as waiting there until it wakes up.
        query = "SELECT pid, pg_blocking_pids(pid) AS blockers FROM unnest(%s::int[]) AS pid"
        found = self._rows(query, (list(backends),))
        return {row["pid"]: set(row["blockers"]) for row in found if row["blockers"]}

    def wait_gone(self, backends: set[int]) -> None:
        """Return once the backends are gone, and with them their transactions."""
        query = "SELECT pid, pg_terminate_backend(pid, %s) AS gone FROM pg_stat_activity WHERE pid = ANY (%s)"
        until = time.monotonic() + _GONE_SECONDS
        while left := [
            row["pid"]
            for row in self._rows(query, (_GONE_SECONDS * 1000, list(backends)))
            # Also of one that ended by itself between being listed and being told to.
            if not row["gone"]
        ]:
            if time.monotonic() > until:
                raise RuntimeError(f"backends do not end: {left}")

    def unresolved(self, merchant: str) -> bool:
        """Return whether an operation has no end yet."""
        return any(row["status"] not in _FINAL for row in self._rows(_OPERATIONS, {"merchant": merchant}))

    def retire(self, merchant: str) -> None:
        """Let no later history's worker take what is still held for old enough to expire."""
        with self._connection.transaction():
            self._connection.execute("SET LOCAL session_replication_role = replica")
            query = "UPDATE payments.payment SET created_at = 'infinity' WHERE merchant = %s"
            self._connection.execute(query, (merchant,))

    def _rows(self, query: str, values: Any) -> list[dict[str, Any]]:
        return self._connection.execute(query, values).fetchall()

    def check(self, world: World, merchant: str, books: Iterable[Book], *, ended: bool = False) -> None:
        """Fail the history at the first promise that is broken."""
        values = {"merchant": merchant}
        operations = self._rows(_OPERATIONS, values)
        books = list(books)
        found = (
            *_payments(self._rows(_PAYMENTS, values), operations),
            *(f"entry is unbalanced: {row['id']}" for row in self._rows(_UNBALANCED, values)),
            *(text for row in operations for text in _operation(row, ended=ended)),
            *_against_books(operations, books, ended=ended),
        )
        for text in found:
            world.fail(text)
            return


def _payments(payments: list[dict[str, Any]], operations: list[dict[str, Any]]) -> Iterator[str]:
    sums: Counter[tuple[Any, str]] = Counter()
    for row in operations:
        sums[row["payment_id"], "owed"] -= int(row["owed"])
        sums[row["payment_id"], "held"] += int(row["held"])
        if row["status"] == "succeeded":
            sums[row["payment_id"], row["kind"]] += row["amount_minor"]
        elif row["status"] not in _FINAL:
            sums[row["payment_id"], f"open {row['kind']}"] += row["amount_minor"]
    for row in payments:
        number, captured, refunded = row["id"], row["captured_minor"], row["refunded_minor"]
        capturing, refunding = row["capture_reserved_minor"], row["refund_reserved_minor"]
        released, held = row["released_minor"], sums[number, "authorize"] - captured - row["released_minor"]
        broken = {
            "amounts are not its operations'": (captured, refunded)
            != (sums[number, "capture"], sums[number, "refund"]),
            "reserve is not what is under way": (capturing, refunding)
            != (sums[number, "open capture"], sums[number, "open refund"]),
            "release is not its operations'": released != sums[number, "void"] + sums[number, "expiry"],
            "ledger is not what was captured and refunded": sums[number, "owed"] != captured - refunded,
            "hold is not what is left of it": sums[number, "held"] != held,
            "amounts exceed what was allowed": not 0 <= refunded + refunding <= captured
            or captured + capturing + released > row["amount_minor"],
        }
        yield from (f"payment's {text}: {number}" for text, is_so in broken.items() if is_so)


def _operation(row: dict[str, Any], *, ended: bool) -> Iterator[str]:
    name, final = f"{row['kind']} {row['id']}", row["status"] in _FINAL
    posted = _POSTED.get(row["kind"]) if row["status"] == "succeeded" else None
    if row["posted"] != posted:
        yield f"{name} is {row['status']} and is posted as {row['posted']}"
    if row["begun"] != 1 or row["ended"] != final:
        yield f"{name} is {row['status']} and has {row['begun']}+{row['ended']} audit records"
    if row["told"] != final:
        yield f"{name} is {row['status']} and has {row['told']} events"
    if row["claim"] is None and row["kind"] != "expiry":
        yield f"{name} has no key"
    if row["claim"] is not None and (row["answered"] is not None) != final:
        yield f"{name} is {row['status']} and its stored answer is {row['answered']}"
    if ended and not final:
        yield f"{name} has no end"


def _against_books(operations: list[dict[str, Any]], books: Iterable[Book], *, ended: bool) -> Iterator[str]:
    known = {(row["provider"], row["provider_key"]): row for row in operations}
    for book in books:
        per_order: dict[str, Counter[CallKind]] = defaultdict(Counter)
        charged = Counter(one.reference for one in book.done.values() if one.kind is CallKind.AUTHORIZE)
        yield from (
            f"{book.name} authorized {reference} twice" for reference in charged if charged[reference] > 1
        )
        for key, effect in book.done.items():
            per_order[effect.reference][effect.kind] += effect.amount_minor
            yield from _effect(book, effect, known.get((book.name, key)), ended=ended)
        for reference, sums in per_order.items():
            if sums[CallKind.REFUND] > sums[CallKind.CAPTURE]:
                yield f"{book.name} refunded more than it captured: {reference}"
            if sums[CallKind.CAPTURE] + sums[CallKind.VOID] > sums[CallKind.AUTHORIZE]:
                yield f"{book.name} captured and released more than it authorized: {reference}"
    did = {(book.name, key) for book in books for key in book.done}
    for (provider, key), row in known.items():
        if row["status"] == "succeeded" and (provider, key) not in did:
            yield f"{row['kind']} {row['id']} succeeded, and {provider} did nothing"


def _effect(book: Book, effect: Effect, row: dict[str, Any] | None, *, ended: bool) -> Iterator[str]:
    if row is None:
        yield f"{book.name} did a {effect.kind} under a key that is no operation's"
        return
    ours = (LIFE_CYCLE[row["kind"]].call, row["amount_minor"], row["currency"], row["merchant_reference"])
    if ours != (effect.kind, effect.amount_minor, effect.currency, effect.reference):
        yield f"{book.name} did {effect}, and {row['id']} is {ours}"
    if row["status"] in ("declined", "failed") or (ended and row["status"] != "succeeded"):
        yield f"{book.name} did {effect.kind} {row['id']}, which is {row['status']}"
