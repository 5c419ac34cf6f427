"""What must hold after each COMMIT, and in the end; read from outside, as the database has it."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from refpay.providers.port import CallKind
from simulation.provider import Book, Effect
from simulation.world import World

_OPERATIONS: Final = """
    SELECT operation.id, operation.payment_id, operation.kind, operation.status, operation.amount_minor,
           operation.provider_key, payment.provider, payment.currency, payment.merchant_reference,
           claimed.response_status AS answered,
           (SELECT count(*) FROM ledger.entry WHERE entry.operation_id = operation.id
                AND entry.kind IN ('posting', 'reversal')) AS entries,
           (SELECT coalesce(sum(line.amount_minor), 0) FROM ledger.entry JOIN ledger.line
                ON line.entry_id = entry.id AND line.account = 'merchant_payable:' || payment.merchant
                AND line.currency = payment.currency WHERE entry.operation_id = operation.id) AS owed,
           (SELECT count(*) FROM audit.event WHERE subject_kind = 'operation'
                AND subject_id = operation.id::text AND action = operation.kind || '.begun') AS begun,
           (SELECT count(*) FROM audit.event WHERE subject_kind = 'operation'
                AND subject_id = operation.id::text
                AND action = ANY (ARRAY[operation.kind || '.succeeded', operation.kind || '.declined',
                                        operation.kind || '.failed'])) AS ended,
           (SELECT count(*) FROM outbox.event WHERE event.operation_id = operation.id) AS told
    FROM payments.operation JOIN payments.payment ON payment.id = operation.payment_id
    LEFT JOIN payments.idempotency_key AS claimed ON claimed.operation_id = operation.id
    WHERE payment.merchant = %(merchant)s
"""
_PAYMENTS: Final = """
    SELECT id, status, amount_minor, captured_minor, refunded_minor, refund_reserved_minor
    FROM payments.payment WHERE merchant = %(merchant)s
"""
_UNBALANCED: Final = """
    SELECT entry.id FROM payments.payment JOIN ledger.entry ON entry.payment_id = payment.id
    JOIN ledger.line ON line.entry_id = entry.id WHERE payment.merchant = %(merchant)s
    GROUP BY entry.id, line.currency HAVING sum(line.amount_minor) <> 0
"""
_GONE_SECONDS: Final = 10
_FINAL: Final = ("succeeded", "declined", "failed")


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
        if row["status"] == "succeeded":
            sums[row["payment_id"], row["kind"]] += row["amount_minor"]
        elif row["status"] not in _FINAL:
            sums[row["payment_id"], f"open {row['kind']}"] += row["amount_minor"]
    for row in payments:
        number, captured, refunded = row["id"], row["captured_minor"], row["refunded_minor"]
        if captured != sums[number, "capture"] or refunded != sums[number, "refund"]:
            yield f"payment's amounts are not its operations': {number}"
        if row["refund_reserved_minor"] != sums[number, "open refund"]:
            yield f"payment reserves what no refund is under way for: {number}"
        if sums[number, "owed"] != captured - refunded:
            yield f"payment's ledger is not what was captured and refunded: {number}"
        if not 0 <= refunded + row["refund_reserved_minor"] <= captured <= row["amount_minor"]:
            yield f"payment's amounts exceed what was allowed: {number}"


def _operation(row: dict[str, Any], *, ended: bool) -> Iterator[str]:
    name, final = f"{row['kind']} {row['id']}", row["status"] in _FINAL
    moved = row["status"] == "succeeded" and row["kind"] in ("capture", "refund")
    if row["entries"] != moved:
        yield f"{name} is {row['status']} and has {row['entries']} entries"
    if row["begun"] != 1 or row["ended"] != final:
        yield f"{name} is {row['status']} and has {row['begun']}+{row['ended']} audit records"
    if row["told"] != final:
        yield f"{name} is {row['status']} and has {row['told']} events"
    if (row["answered"] is not None) != final:
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
            if sums[CallKind.CAPTURE] > sums[CallKind.AUTHORIZE]:
                yield f"{book.name} captured more than it authorized: {reference}"
    did = {(book.name, key) for book in books for key in book.done}
    for (provider, key), row in known.items():
        if row["status"] == "succeeded" and (provider, key) not in did:
            yield f"{row['kind']} {row['id']} succeeded, and {provider} did nothing"


def _effect(book: Book, effect: Effect, row: dict[str, Any] | None, *, ended: bool) -> Iterator[str]:
    if row is None:
        yield f"{book.name} did a {effect.kind} under a key that is no operation's"
        return
    ours = (row["kind"], row["amount_minor"], row["currency"], row["merchant_reference"])
    if ours != (effect.kind, effect.amount_minor, effect.currency, effect.reference):
        yield f"{book.name} did {effect}, and {row['id']} is {ours}"
    if row["status"] in ("declined", "failed") or (ended and row["status"] != "succeeded"):
        yield f"{book.name} did {effect.kind} {row['id']}, which is {row['status']}"
