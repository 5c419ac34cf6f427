"""Pages of payments and of audit records: nothing twice, nothing left out, nobody else's, bounded."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refpay.app.bodies import make_cursor, read_cursor
from refpay.app.errors import CursorInvalid
from refpay.audit import trail
from refpay.audit.trail import read_trail
from refpay.db import paging
from refpay.db.paging import PageRequest
from refpay.db.pool import Database
from refpay.ids import first_id, mint_id
from refpay.payments import listing
from refpay.payments.listing import list_payments

if TYPE_CHECKING:
    from tests.refpay.conftest import Client, RefpayDb

    from refpay.settings import Settings

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
STATUSES = ("captured", "declined", "failed", "authorized")
_INSERT = """
    INSERT INTO payments.payment (
        id, merchant, merchant_reference, status, amount_minor, currency, card_range, provider, created_at,
        captured_minor)
    VALUES ($1, $2, $3, $4, 5, 'EUR', '411111', 'north', $5, CASE $4 WHEN 'captured' THEN 5 ELSE 0 END)
"""

_EVENT = """
    INSERT INTO audit.event (id, at, actor, action, subject_kind, subject_id, after, correlation_id)
    VALUES ($1, $2, 'shop', 'test', 'payment', $3, '{}', 'c')
"""
_EVENTS = """
    INSERT INTO audit.event (id, at, actor, action, subject_kind, subject_id, after, correlation_id)
    SELECT gen_random_uuid(), now(), 'shop', 'test', 'payment', n::text, '{}', 'c'
    FROM generate_series(1, 20000) AS n
"""


async def fill(db: "RefpayDb", *, merchant: str = "shop", count: int = 40) -> list[str]:
    """Write payments, three a millisecond, one status after the other; return their ids, newest first."""
    connection = await db.connect()
    rows = []
    for number in range(count):
        at = BEGUN + timedelta(milliseconds=number // 3, microseconds=number)
        status = STATUSES[number % len(STATUSES)]
        rows.append((mint_id(at), merchant, f"order-{number // 8}-{status}", status, at))
    # Of live charges there is one a reference.
    rows = [(*row[:2], f"{row[2]}-{n}" if row[3] in ("captured", "authorized") else row[2], *row[3:])
            for n, row in enumerate(rows)]  # fmt: skip
    try:
        await connection.executemany(_INSERT, rows)
    finally:
        await connection.close()
    return [str(row[0]) for row in sorted(rows, reverse=True)]


async def pages(
    api: "Client", path: str, key: str, *, by: str = "shop", after: str = ""
) -> list[list[dict[str, Any]]]:
    """Turn every page of a listing."""
    found, cursor = [], f"&cursor={after}" if after else ""
    while True:
        answer = await api.get(f"{path}{cursor}", by=by)
        assert answer.status == 200, answer.raw
        found.append(answer.body[key])
        if answer.body["next"] is None:
            return found
        cursor = f"&cursor={answer.body['next']}"


async def ids(api: "Client", path: str, **rest: Any) -> list[str]:
    """Return the ids of a whole listing of payments."""
    return [row["id"] for page in await pages(api, path, "payments", **rest) for row in page]


async def test_pages_hold_every_payment_once_whatever_is_paid_meanwhile(
    api: "Client", db: "RefpayDb"
) -> None:
    """Newest first; a payment that comes while somebody turns pages moves nothing in the pages after."""
    known = await fill(db)
    first = (await api.get("/v1/payments?limit=7")).body
    assert [row["id"] for row in first["payments"]] == known[:7]
    new = (await api.authorize()).body["id"]
    rest = await ids(api, "/v1/payments?limit=7", after=first["next"])
    assert known[:7] + rest == known
    assert await ids(api, "/v1/payments?limit=7") == [new, *known]
    sizes = [len(page) for page in await pages(api, "/v1/payments?limit=41", "payments")]
    assert sizes == [41]


async def test_a_merchant_sees_its_own_alone(api: "Client", db: "RefpayDb") -> None:
    """A rival's list is its own, and a cursor of ours leads it nowhere."""
    await fill(db)
    theirs = await fill(db, merchant="rival", count=3)
    assert await ids(api, "/v1/payments?limit=50", by="rival") == theirs
    ours = (await api.get("/v1/payments?limit=5")).body["next"]
    answer = await api.get(f"/v1/payments?limit=5&cursor={ours}", by="rival")
    assert (answer.status, answer.body["code"]) == (400, "cursor_invalid")


async def test_filters_keep_what_fits_and_nothing_else(api: "Client", db: "RefpayDb") -> None:
    """Status, reference and time, each against all rows, a page of three at a time."""
    known = await fill(db)
    rows = [row for page in await pages(api, "/v1/payments?limit=100", "payments") for row in page]
    assert [row["id"] for row in rows] == known
    for status in STATUSES:
        fitting = [row["id"] for row in rows if row["status"] == status]
        assert await ids(api, f"/v1/payments?limit=3&status={status}") == fitting
    for reference in {row["merchant_reference"] for row in rows}:
        fitting = [row["id"] for row in rows if row["merchant_reference"] == reference]
        found = await ids(api, f"/v1/payments?limit=1&merchant_reference={reference}")
        assert found == fitting
    instants = sorted(row["created_at"] for row in rows)
    for low, high in ((0, 39), (5, 6), (7, 7), (13, 31)):
        since, until = instants[low], instants[high]
        fitting = [row["id"] for row in rows if since <= row["created_at"] < until]
        assert len(fitting) == high - low
        query = f"created_from={quote(since)}&created_to={quote(until)}"
        assert await ids(api, f"/v1/payments?limit=3&{query}") == fitting


async def test_a_page_looks_at_a_bounded_number_of_rows(api: "Client", db: "RefpayDb") -> None:
    """A rare status takes several short pages, and nothing is lost between them."""
    connection = await db.connect()
    rare = [mint_id(BEGUN + timedelta(seconds=number)) for number in (0, 2500, 4998)]
    rows = [
        (mint_id(at), "shop", f"order-{number}", "captured", at)
        for number, at in enumerate(
            BEGUN + timedelta(seconds=number, milliseconds=1) for number in range(5000)
        )
    ]
    rows += [
        (one, "shop", f"rare-{one}", "declined", BEGUN + timedelta(seconds=n)) for n, one in enumerate(rare)
    ]
    try:
        await connection.executemany(_INSERT, rows)
    finally:
        await connection.close()
    found = await pages(api, "/v1/payments?limit=3&status=declined", "payments")
    assert [len(page) for page in found] == [1, 1, 1]
    assert [row["id"] for page in found for row in page] == [str(one) for one in reversed(rare)]


async def test_a_page_of_one_reference_looks_at_a_bounded_number_of_attempts(
    api: "Client", db: "RefpayDb"
) -> None:
    """Thousands that were declined and a live one among them: each once, whatever the filter."""
    connection = await db.connect()
    rows = []
    for number in range(5000):
        at = BEGUN + timedelta(seconds=number)
        status = {1500: "captured", 1501: "failed", 4998: "failed"}.get(number, "declined")
        rows.append((mint_id(at), "shop", "order", status, at))
    rows += [(mint_id(BEGUN), "rival", "order", "failed", BEGUN)]
    try:
        await connection.executemany(_INSERT, rows)
    finally:
        await connection.close()
    path = "/v1/payments?merchant_reference=order"
    for status in ("captured", "failed"):
        found = await pages(api, f"{path}&limit=3&status={status}", "payments")
        assert len(found) == 3
        fitting = [str(row[0]) for row in reversed(rows[:-1]) if row[3] == status]
        assert [row["id"] for page in found for row in page] == fitting
    assert await ids(api, f"{path}&limit=100") == [str(row[0]) for row in reversed(rows[:-1])]


async def read_rows(owner: Any, query: str, *arguments: object) -> int:
    """Return how many rows of payments a query reads."""
    [row] = await owner.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *arguments)
    read, plans = 0, [json.loads(row[0])[0]["Plan"]]
    while plans:
        plan = plans.pop()
        plans += plan.get("Plans", [])
        if plan.get("Relation Name") == "payment":
            read += int((plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"])
    return read


async def test_many_attempts_of_one_reference_cost_a_page_nothing(db: "RefpayDb") -> None:
    """A page and the search for its end read what they may, out of ten times as many."""
    owner = await db.connect("refpay_owner")
    try:
        await owner.execute(
            f"""
            INSERT INTO payments.payment (
                id, merchant, merchant_reference, status, amount_minor, currency, card_range, provider,
                created_at)
            SELECT ledger.first_id(now() + n * interval '1 second'), 'shop', 'order', 'declined', 5, 'EUR',
                   '411111', 'north', now() FROM generate_series(1, {10 * paging.SCANNED_MAXIMUM}) AS n;
            ANALYZE payments.payment
            """  # noqa: S608 - our own constant
        )
        span = (first_id(None, later_by_ms=1), first_id(None), "shop")
        rest = (None, None)
        page = await read_rows(owner, listing.OF_REFERENCE.page, *span, "order", *rest, None, 51)
        rare = await read_rows(owner, listing.OF_REFERENCE.page, *span, "order", *rest, "failed", 51)
        end = await read_rows(owner, str(listing.OF_REFERENCE.last_scanned), *span, "order")
    finally:
        await owner.close()
    assert page <= 52
    assert max(rare, end) <= paging.SCANNED_MAXIMUM + 1


async def test_no_page_reads_more_than_it_may(db: "RefpayDb") -> None:
    """Of many merchants' payments the index of one is read, of a reference the two that hold it."""
    for number in range(20):
        await fill(db, merchant=f"merchant-{number}", count=200)
    owner = await db.connect("refpay_owner")
    try:
        await owner.execute(_EVENTS)
        await owner.execute("ANALYZE payments.payment; ANALYZE audit.event")
        span = (first_id(None, later_by_ms=1), first_id(None))

        async def plan(query: str, *arguments: object) -> str:
            return "\n".join(row[0] for row in await owner.fetch(f"EXPLAIN {query}", *arguments))

        ours, plain = (*span, "merchant-7"), (None, None, None, 51)
        last = await plan(str(listing.ALL.last_scanned), *ours)
        every = await plan(listing.ALL.page, *ours, None, None, "declined", 51)
        one = await plan(listing.OF_REFERENCE.page, *ours, "order-1-failed", *plain)
        events = await plan(trail.ALL.page, *span, None, None, "shop", 51)
        subject = await plan(trail.OF_SUBJECT.page, *span, "payment", "some-id", *plain)
    finally:
        await owner.close()
    assert "payment_of_merchant" in last
    assert "payment_of_merchant" in every
    assert "payment_ended_reference" in one
    assert "payment_live_reference" in one
    assert "event_pkey" in events
    assert "event_of_subject" in subject
    assert not any("Seq Scan" in text for text in (last, every, one, events, subject))


@pytest.mark.parametrize(
    ("query", "key", "allowed"),
    [
        ("limit=0", "limit", "greater than or equal to 1"),
        ("limit=101", "limit", "less than or equal to 100"),
        ("limit=x", "limit", "valid integer"),
        ("status=done", "status", "'authorized'"),
        ("created_from=yesterday", "created_from", "RFC 3339"),
        ("created_from=2026-01-01T00:00:00", "created_from", "RFC 3339"),
        ("created_from=1767225600", "created_from", "RFC 3339"),
        ("created_to=2026-02-30T00:00:00Z", "created_to", "day is out of range"),
        ("merchant_reference=with%20blank", "merchant_reference", "pattern"),
        ("cursor=short", "cursor", "pattern"),
        ("stat=captured", "stat", "allowed: limit, cursor, status, merchant_reference"),
        ("limit=1&limit=2", "limit", "allowed: once"),
    ],
)
async def test_a_bad_filter_is_named(shared_api: "Client", query: str, key: str, allowed: str) -> None:
    """With what is allowed; a misspelt one is not ignored."""
    answer = await shared_api.get(f"/v1/payments?{query}")
    assert (answer.status, answer.body["code"]) == (422, "request_invalid")
    assert [error["key"] for error in answer.body["errors"]] == [key]
    assert allowed in answer.body["errors"][0]["problem"]


async def test_a_card_number_is_no_filter(shared_api: "Client") -> None:
    """It would stand in somebody's log."""
    answer = await shared_api.get("/v1/payments?merchant_reference=4111111111111111")
    assert (answer.status, answer.body["code"]) == (422, "card_data_refused")


async def test_the_audit_trail_tells_who_changed_what(api: "Client") -> None:
    """By subject, by actor and by time; the pages together are the whole trail, newest first."""
    payment = await api.captured()
    await api.post("/v1/operations/providers/north/drain", {"reason": "test"}, by="operator")
    path = "/v1/audit?limit=2"
    events = [event for page in await pages(api, path, "events", by="auditor") for event in page]
    actions = {event["action"] for event in events}
    assert actions == {
        "authorize.begun",
        "authorize.succeeded",
        "capture.begun",
        "capture.succeeded",
        "payment.changed",
        "provider.drained",
    }
    assert [event["at"] for event in events] == sorted((event["at"] for event in events), reverse=True)
    assert len({event["seq"] for event in events}) == len(events)

    async def some(query: str) -> list[dict[str, Any]]:
        return [
            event for page in await pages(api, f"{path}&{query}", "events", by="auditor") for event in page
        ]

    of_payment = await some(f"subject_kind=payment&subject_id={payment['id']}")
    assert [event["action"] for event in of_payment] == ["payment.changed", "payment.changed"]
    assert of_payment[0]["before"]["status"] == "authorized"
    assert of_payment[0]["after"]["status"] == "captured"
    assert [event["action"] for event in await some("actor=operator")] == ["provider.drained"]
    first, last = quote(events[-1]["at"]), quote(events[0]["at"])
    assert await some(f"at_from={last}") == [event for event in events if event["at"] >= events[0]["at"]]
    assert await some(f"at_to={first}") == []


async def test_half_a_subject_is_refused(shared_api: "Client") -> None:
    """Its kind is needed to find its id, and the other way round."""
    for query, lacking in (("subject_kind=payment", "subject_id"), ("subject_id=x", "subject_kind")):
        answer = await shared_api.get(f"/v1/audit?{query}", by="auditor")
        assert (answer.status, answer.body["errors"][0]["key"]) == (422, lacking)


@given(st.uuids(), st.text(), st.uuids(), st.text())
def test_a_cursor_is_good_for_its_own_listing_alone(
    one: UUID, owner: str, other: UUID, stranger: str
) -> None:
    """It comes back as it went, and neither another owner nor a changed position passes."""
    cursor = make_cursor(one, {"owner": owner, "status": None})
    assert read_cursor(cursor, {"status": None, "owner": owner}) == one
    if stranger != owner:
        with pytest.raises(CursorInvalid):
            read_cursor(cursor, {"status": None, "owner": stranger})
    if other != one:
        forged = make_cursor(other, {"owner": owner, "status": None})[:21] + cursor[21:]
        with pytest.raises(CursorInvalid):
            read_cursor(forged, {"status": None, "owner": owner})


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1)))
def test_ids_of_an_instant_are_between_its_bounds(at: datetime) -> None:
    """So a span of time is a span of the primary key."""
    assert first_id(at) <= mint_id(at) < first_id(at, later_by_ms=1)
    assert first_id(at - timedelta(milliseconds=1)) <= first_id(at) if at.year > 1970 else True


async def test_what_is_paid_between_two_looks_shows_nothing_twice(
    live_settings: "Settings", db: "RefpayDb", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a short page is that of the very rows that it looked at."""
    for pages in (listing.ALL, trail.ALL):
        monkeypatch.setattr(pages, "page", pages.page.replace("2000", "10"))
        end = str(pages.last_scanned).replace("2000", "10").replace("1999", "9")
        monkeypatch.setattr(pages, "last_scanned", end)

    async def pay(first: int, number: int) -> list[str]:
        connection = await db.connect()
        instants = [BEGUN + timedelta(seconds=second) for second in range(first, first + number)]
        rows = [(mint_id(at), "shop", f"order-{at}", "captured", at) for at in instants]
        try:
            await connection.executemany(_INSERT, rows)
            await connection.executemany(_EVENT, [(row[0], row[4], str(row[0])) for row in rows])
        finally:
            await connection.close()
        return [str(row[0]) for row in reversed(rows)]

    known, later = await pay(0, 30), count(60, 60)
    database = await Database.connect(live_settings.database, most_connections=2)

    class Busy:
        @asynccontextmanager
        async def transaction(self) -> AsyncIterator[Any]:
            async with database.transaction() as connection:

                async def fetchval(*arguments: Any) -> Any:
                    await pay(next(later), 6)
                    return await connection.fetchval(*arguments)

                yield SimpleNamespace(fetch=connection.fetch, execute=connection.execute, fetchval=fetchval)

    every: dict[str, None] = {"status": None, "reference": None}
    whole: dict[str, None] = {"subject": None, "actor": None}
    busy = cast("Database", Busy())
    try:
        first, after = await list_payments(busy, "shop", PageRequest(None, 10), **every)
        second, _ = await list_payments(database, "shop", PageRequest(after, 20), **every)
        events, after = await read_trail(busy, PageRequest(None, 10), **whole)
        more, _ = await read_trail(database, PageRequest(after, 9), **whole)
    finally:
        await database.close()
    assert [str(one.id) for one in first] == known[:10]
    assert [str(one.id) for one in second] == known[10:20]
    shown = [one["subject_id"] for one in (*events, *more)]
    assert shown == sorted(set(shown), reverse=True)
    assert len(shown) == 19
