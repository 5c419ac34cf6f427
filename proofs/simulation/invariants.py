"""The invariants that must hold after each COMMIT and at the end, checked in the database from outside."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import asyncpg
import psycopg
from proofs.simulation.loop import VirtualLoop
from proofs.simulation.operation_rows import OPERATIONS_QUERY, Row, posted_lines
from proofs.simulation.payouts import PayoutChecks
from proofs.simulation.pool import SERVER_SETTINGS
from proofs.simulation.provider import Book, Effect
from proofs.simulation.scheduler import Scheduler

from refpay.ledger.causes import UNEXPLAINED
from refpay.ledger.cold_storage import SEALED_END
from refpay.payments.lifecycle import LIFE_CYCLE
from refpay.providers.port import CallKind

_UNRESOLVED: Final = """
    SELECT EXISTS (
        SELECT FROM payments.operation LEFT JOIN payments.payment ON payment.id = payment_id
        LEFT JOIN payments.payout ON payout.id = operation.id
        WHERE operation.status IN ('started', 'indeterminate')
          AND coalesce(payment.merchant, payout.merchant) = $1)
"""
# Let no later history's worker take what is still held for old enough to expire, nor its keys; and let what
# was posted be sealed away, as it soon is where a worker seals, or each payout reads all of the ledger.
_RETIRE: Final = """
    WITH kept AS (
        UPDATE payments.idempotency_key SET claimed_at = 'infinity' WHERE principal IN ($1, $1 || '-second')
    ), sealed AS (
        INSERT INTO ledger.seal (seq, at, entries, through_in, through_id, leaves, previous, digest)
        SELECT coalesce(max(seq), 0) + 1, now(), 1, pg_current_xact_id(),
               '00000000-0000-0000-0000-000000000000', repeat('x', 48)::bytea, repeat('x', 32)::bytea,
               repeat('x', 32)::bytea
        FROM ledger.seal
    )
    UPDATE payments.payment SET created_at = 'infinity' WHERE merchant = $1
"""
# Of this history: those before it are sealed away.
_UNEXPLAINED: Final = f"""
    SELECT entry.kind, entry.id FROM ledger.entry
    WHERE (written_in, entry.id) > {SEALED_END} AND ({UNEXPLAINED}) ORDER BY entry.id
"""  # noqa: S608 - fragments of the service
_GONE_SECONDS: Final = 60
_FINAL: Final = ("succeeded", "declined", "failed")
# The kind of entry for each kind of operation.
_POSTED: Final = {
    "authorize": "hold",
    "capture": "posting",
    "void": "release",
    "expiry": "release",
    "refund": "reversal",
    "payout": "payout",
}


class LockMonitor:
    """Watches the locks of the server while the loop waits."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._connection.prepare_threshold = 1

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def blockers(self, backends: set[int]) -> dict[int, set[int]]:
        """Return which backends wait for a lock, and for which other backends."""
        # Not pg_stat_activity: it shows a backend as waiting until it wakes up with its lock.
        query = "SELECT pid, pg_blocking_pids(pid) FROM unnest(%s::int[]) AS pid"
        found = self._connection.execute(query, (list(backends),)).fetchall()
        return {backend: set(blockers) for backend, blockers in found if blockers}

    def wait_gone(self, backends: set[int]) -> None:
        """Wait until the backends and their transactions have ended."""
        query = "SELECT pid, pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE pid = ANY (%s)"
        until = time.monotonic() + _GONE_SECONDS
        values = (_GONE_SECONDS * 1000, list(backends))
        # A backend may also end by itself between the two calls.
        while left := [pid for pid, gone in self._connection.execute(query, values) if not gone]:
            if time.monotonic() > until:
                raise RuntimeError(f"backends do not end: {left}")


class InvariantChecker:
    """Compares the database with the providers' books of one history."""

    def __init__(self, loop: VirtualLoop, dsn: str) -> None:
        # As a replica, so that the tables' triggers allow the clean-up between histories.
        self._connection: asyncpg.Connection[asyncpg.Record] = loop.run_until_complete(
            asyncpg.connect(
                dsn,
                max_cached_statement_lifetime=0,
                server_settings={**SERVER_SETTINGS, "session_replication_role": "replica"},
            )
        )
        self._loop, self._backend = loop, self._connection.get_server_pid()

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _fetch(self, query: str, *values: str) -> "list[asyncpg.Record]":
        # No step is scheduled meanwhile.
        self._loop.selector.in_flight.add(self._backend)
        try:
            return await self._connection.fetch(query, *values)
        finally:
            self._loop.selector.in_flight.discard(self._backend)

    async def is_unresolved(self, merchant: str) -> bool:
        """Return whether an operation is unresolved."""
        return bool((await self._fetch(_UNRESOLVED, merchant))[0][0])

    async def retire(self, merchant: str) -> None:
        """Hide this history's rows from the workers of later histories."""
        await self._fetch(_RETIRE, merchant)

    async def check(
        self,
        scheduler: Scheduler,
        merchant: str,
        books: Sequence[Book],
        payouts: PayoutChecks,
        *,
        ended: bool = False,
    ) -> None:
        """Fail the history at the first broken invariant."""
        rows = await self._fetch(OPERATIONS_QUERY, merchant)
        operations = [row for row in rows if row["id"] is not None]
        forged = await self._fetch(_UNEXPLAINED) if ended else []
        found = (
            *(f"entry has no cause: {row['kind']} {row['id']}" for row in forged),
            *_payments([row for row in rows if row["payment_id"] is not None]),
            *(text for row in operations for text in _entry(row)),
            *(text for row in operations for text in _operation(row, ended=ended)),
            *_against_books(operations, books, ended=ended),
            *payouts.check(operations, books, ended=ended),
        )
        for text in found:
            scheduler.fail(text)
            return


def _entry(row: Row) -> Iterator[str]:
    sums: Counter[str] = Counter()
    for _, currency, amount_minor in posted_lines(row):
        sums[currency] += amount_minor
    if any(sums.values()):
        yield f"entry of {row['kind']} {row['id']} is unbalanced"


def _payments(rows: Iterable[Row]) -> Iterator[str]:
    payments = {row["payment_id"]: row for row in rows}
    sums: Counter[tuple[Any, str]] = Counter()
    for row in rows:
        number = row["payment_id"]
        for account, currency, amount_minor in posted_lines(row):
            if currency == row["currency"]:
                sums[number, account] += amount_minor
        if row["status"] == "succeeded":
            sums[number, row["kind"]] += row["amount_minor"]
        elif row["status"] not in _FINAL and row["id"] is not None:
            sums[number, f"open {row['kind']}"] += row["amount_minor"]
    for number, row in payments.items():
        captured, refunded, released = row["captured_minor"], row["refunded_minor"], row["released_minor"]
        capturing, refunding = row["capture_reserved_minor"], row["refund_reserved_minor"]
        owed, held = f"merchant_payable:{row['merchant']}", f"hold_receivable:{row['provider']}"
        broken = {
            "operations are missing": row["id"] is None,
            "amounts are not its operations'": (captured, refunded)
            != (sums[number, "capture"], sums[number, "refund"]),
            "reserve is not what is under way": (capturing, refunding)
            != (sums[number, "open capture"], sums[number, "open refund"]),
            "release is not its operations'": released != sums[number, "void"] + sums[number, "expiry"],
            "ledger is not what was captured and refunded": -sums[number, owed] != captured - refunded,
            "hold is not what is left of it": sums[number, held]
            != sums[number, "authorize"] - captured - released,
            "amounts exceed what was allowed": not 0 <= refunded + refunding <= captured
            or captured + capturing + released > row["allowed"],
        }
        yield from (f"payment's {text}: {number}" for text, is_so in broken.items() if is_so)


def _operation(row: Row, *, ended: bool) -> Iterator[str]:
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


def _against_books(operations: Iterable[Row], books: Iterable[Book], *, ended: bool) -> Iterator[str]:
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


def _effect(book: Book, effect: Effect, row: Row | None, *, ended: bool) -> Iterator[str]:
    if row is None:
        yield f"{book.name} did a {effect.kind} under a key that is no operation's"
        return
    beneficiary = row["merchant"] if row["kind"] == "payout" else ""
    call, reference = LIFE_CYCLE[row["kind"]].call, row["merchant_reference"]
    ours = Effect(call, row["amount_minor"], row["currency"], reference, beneficiary) if call else None
    if ours != effect:
        yield f"{book.name} did {effect}, and {row['id']} is {ours}"
    if row["status"] in ("declined", "failed") or (ended and row["status"] != "succeeded"):
        yield f"{book.name} did {effect.kind} {row['id']}, which is {row['status']}"
