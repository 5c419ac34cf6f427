"""Settlement reports on the wire, in both dialects: when they appear, what they hold, that they stay."""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from acquirers.book import Book
from acquirers.bookkeeper import Bookkeeper
from acquirers.dialects.north import render_report
from acquirers.faults import Fault, FaultKind, FaultRegistry
from acquirers.operations import Entry
from acquirers.reports import Reports
from acquirers.settlement import Exchange, Fees

if TYPE_CHECKING:
    from tests.acquirers.conftest import Client, Launch, Start, Statement

    Read = Callable[[str, bytes], Statement]

DIALECTS = pytest.mark.parametrize("dialect", ["north", "south"])
# 2026-01-01T00:00:00Z in periods of ten seconds.
FIRST = 176_722_560


async def sell(client: "Client", name: str, amount: int = 1000, currency: str = "EUR") -> str:
    """Authorize and capture; return the capture's reference."""
    authorized = await client.authorize(f"{name}-a", name, amount, currency)
    return (await client.capture(f"{name}-c", authorized.id, name, amount, currency)).id


@DIALECTS
async def test_a_report_is_published_once_its_grace_is_over(start: "Start", dialect: str) -> None:
    """Until a second after its end it is unknown; then it is listed with its digest, and stays so."""
    acquirer = await start(dialect)
    client = acquirer.client
    await sell(client, "order")
    acquirer.wall.seconds += 10.99
    assert await client.reports() == []
    status, _, body = await client.fetch(f"{client.reports_path()}/{FIRST}")
    assert (status, b"unknown_report" in body) == (404, True)
    acquirer.wall.seconds += 0.01
    status, content_type, body = await client.fetch(f"{client.reports_path()}/{FIRST}")
    assert (status, content_type) == (200, "application/json" if dialect == "north" else "text/csv")
    listed = await client.reports()
    assert listed == [
        {
            "sequence": FIRST, "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:10Z",
            "due": "2026-01-01T00:00:20Z", "digest": hashlib.sha256(body).hexdigest(),
        }
    ]  # fmt: skip
    served = (await client.control("GET", "/truth/reports")).body["served"]
    taken = {"fees_minor": {"EUR": 24}, "exchanged_minor": {}}
    assert served == [{"sequence": FIRST, "at": acquirer.wall.seconds, **taken}]
    acquirer.wall.seconds -= 5  # the machine's clock is set back: nothing is unpublished
    assert await client.reports() == listed


async def test_the_bodies_are_as_agreed(start: "Start") -> None:
    """North has integers of minor units, south decimal major units; both to the last character."""
    bodies, references = {}, {}
    for dialect in ("north", "south"):
        acquirer = await start(dialect)
        client = acquirer.client
        one = await sell(client, "a,b")
        acquirer.wall.seconds += 1.25
        two = await sell(client, "order-2", 1234, "KWD")
        refund = await client.refund("r", one, "a,b", 400)
        acquirer.wall.seconds += 20
        bodies[dialect] = (await client.report(FIRST)).decode()
        references[dialect] = (one, two, refund.id)
    one, two, refunded = references["north"]
    assert bodies["north"] == (
        f'{{"sequence":{FIRST},"from":"2026-01-01T00:00:00Z","to":"2026-01-01T00:00:10Z","lines":['
        f'{{"key":"a,b-c","reference":"a,b","id":"{one}","kind":"capture","amount":1000,"currency":"EUR",'
        '"fee":24,"at":"2026-01-01T00:00:00Z"},'
        f'{{"key":"order-2-c","reference":"order-2","id":"{two}","kind":"capture","amount":1234,'
        '"currency":"KWD","fee":52,"at":"2026-01-01T00:00:01.250Z"},'
        f'{{"key":"r","reference":"a,b","id":"{refunded}","kind":"refund","amount":400,"currency":"EUR",'
        '"fee":0,"at":"2026-01-01T00:00:01.250Z"}],'
        '"totals":{"EUR":{"lines":2,"captured":1000,"refunded":400,"fees":24},'
        '"KWD":{"lines":1,"captured":1234,"refunded":0,"fees":52}}}'
    )
    one, two, refunded = references["south"]
    assert bodies["south"] == (
        f"H,{FIRST},2026-01-01T00:00:00Z,2026-01-01T00:00:10Z\n"
        f'D,"a,b-c","a,b",{one},S,10.00,EUR,0.24,2026-01-01T00:00:00Z\n'
        f"D,order-2-c,order-2,{two},S,1.234,KWD,0.052,2026-01-01T00:00:01.250Z\n"
        f'D,r,"a,b",{refunded},R,4.00,EUR,0.00,2026-01-01T00:00:01.250Z\n'
        "C,EUR,2,10.00,4.00,0.24\n"
        "C,KWD,1,1.234,0.000,0.052\n"
        "T,3\n"
    )


async def test_what_is_settled_in_another_currency_is_stated(start: "Start") -> None:
    """Beside what was captured and its fee; totals are as ever, and other currencies have nothing new."""
    bodies, references = {}, {}
    exchanges = {"EUR": Exchange("JPY", Fraction("163.5")), "JPY": Exchange("KWD", Fraction("0.00205"))}
    for dialect in ("north", "south"):
        acquirer = await start(dialect, exchanges=exchanges)
        client = acquirer.client
        one = await sell(client, "a", 1234)
        two = await sell(client, "b", 10, "JPY")
        refund = await client.refund("r", one, "a", 400)
        three = await sell(client, "c", 1, "USD")
        acquirer.wall.seconds += 20
        bodies[dialect] = (await client.report(FIRST)).decode()
        references[dialect] = (one, two, refund.id, three)
    at = "2026-01-01T00:00:00Z"
    one, two, refunded, three = references["north"]
    lines = (
        f'{{"key":"a-c","reference":"a","id":"{one}","kind":"capture","amount":1234,"currency":"EUR","fee":27,'
        f'"at":"{at}","settled_currency":"JPY","settled_amount":2018}},'
        f'{{"key":"b-c","reference":"b","id":"{two}","kind":"capture","amount":10,"currency":"JPY","fee":16,'
        f'"at":"{at}","settled_currency":"KWD","settled_amount":21}},'
        f'{{"key":"r","reference":"a","id":"{refunded}","kind":"refund","amount":400,"currency":"EUR","fee":0,'
        f'"at":"{at}","settled_currency":"JPY","settled_amount":654}},'
        f'{{"key":"c-c","reference":"c","id":"{three}","kind":"capture","amount":1,"currency":"USD","fee":11,'
        f'"at":"{at}"}}'
    )
    assert f'"lines":[{lines}],' in bodies["north"]
    assert '"EUR":{"lines":2,"captured":1234,"refunded":400,"fees":27}' in bodies["north"]
    one, two, refunded, three = references["south"]
    assert (
        f"D,a-c,a,{one},S,12.34,EUR,0.27,{at},JPY,2018\n"
        f"D,b-c,b,{two},S,10,JPY,16,{at},KWD,0.021\n"
        f"D,r,a,{refunded},R,4.00,EUR,0.00,{at},JPY,654\n"
        f"D,c-c,c,{three},S,0.01,USD,0.11,{at}\n"
        "C,EUR,2,12.34,4.00,0.27\n"
    ) in bodies["south"]


@DIALECTS
@pytest.mark.parametrize(("what", "settled"), [("amount", 1816), ("currency", None)])
async def test_a_misstated_line_is_settled_as_it_stands(
    start: "Start", read: "Read", dialect: str, what: str, settled: int | None
) -> None:
    """So that its own lie is the only one: no dollar is settled in dollars at the rate of the euro."""
    acquirer = await start(dialect, exchanges={"EUR": Exchange("JPY", Fraction("163.5"))})
    await sell(acquirer.client, "a", 1234)
    acquirer.wall.seconds += 20
    await acquirer.client.fault("misstate", what=what)
    (line,) = read(dialect, await acquirer.client.report(FIRST)).lines
    assert line.get("settled_amount") == settled


@DIALECTS
async def test_all_reports_together_are_the_moved_money(start: "Start", read: "Read", dialect: str) -> None:
    """Over many periods every captured and refunded operation is a line once; others never are."""
    acquirer = await start(dialect)
    client = acquirer.client
    for number in range(12):
        currency = ("EUR", "JPY", "KWD")[number % 3]
        sold = await sell(client, f"order-{number}", 1000 + number, currency)
        acquirer.wall.seconds += 4
        await client.refund(f"refund-{number}", sold, f"order-{number}", 10 + number, currency)
        await client.refund(f"refused-{number}", sold, f"order-{number}", 5000, currency)
        await client.reports()
    acquirer.wall.seconds += 30
    listed = await client.reports()
    assert [report["sequence"] for report in listed] == list(range(FIRST, FIRST + len(listed)))
    statements = [read(dialect, await client.report(report["sequence"])) for report in listed]
    lines = [line for statement in statements for line in statement.lines]
    moved = [row for row in await client.truth() if row["status"] in ("captured", "refunded")]
    assert len(moved) == 24
    assert [(x["id"], x["key"], x["kind"], x["amount"], x["currency"]) for x in lines] == [
        (x["provider_reference"], x["key"], x["kind"], x["amount_minor"], x["currency"]) for x in moved
    ]
    assert statements[-1].lines == []  # empty ones are published too


@DIALECTS
async def test_the_list_is_read_in_pages(start: "Start", dialect: str) -> None:
    """Ascending, after a number, at most so many; 200 unless told."""
    acquirer = await start(dialect, period_seconds=1)
    client = acquirer.client
    first = int(acquirer.wall.seconds)
    acquirer.wall.seconds += 251
    numbers = [report["sequence"] for report in await client.reports()]
    assert numbers == list(range(first, first + 200))
    rest = await client.reports(f"?after={numbers[-1]}&limit=200")
    assert [report["sequence"] for report in rest] == list(range(first + 200, first + 250))
    assert [x["sequence"] for x in await client.reports(f"?after={first}&limit=2")] == [first + 1, first + 2]
    assert await client.reports(f"?after={first + 249}") == []


@DIALECTS
@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=201", "limit=" + "9" * 5000])
async def test_a_bad_page_is_refused(start: "Start", dialect: str, query: str) -> None:
    """The refusal names the parameter."""
    client = (await start(dialect)).client
    path = f"{client.reports_path()}?{query}"
    answer = await client.send("GET", path, headers=client.merchant_headers())
    assert answer.status == 422
    assert answer.body["detail"].startswith(query.partition("=")[0] + ":")


@DIALECTS
async def test_reports_need_the_merchants_key_and_a_number(start: "Start", dialect: str) -> None:
    """The control token opens no report; what is no number of a report is not found."""
    client = (await start(dialect)).client
    for path in (client.reports_path(), f"{client.reports_path()}/{FIRST}"):
        for headers in ({}, client.merchant_headers("control-token-of-the-test")):
            answer = await client.send("GET", path, headers=headers)
            assert (answer.status, answer.body["error"]) == (401, "unauthorized")
    for name in ("x", "-1", "9" * 5000, "9" * 15, FIRST - 1):
        assert (await client.fetch(f"{client.reports_path()}/{name}"))[0] == 404


@DIALECTS
async def test_a_late_booking_belongs_to_the_next_report(start: "Start", read: "Read", dialect: str) -> None:
    """What comes with a time of a published report is booked after it, and the report is as it was."""
    acquirer = await start(dialect)
    client = acquirer.client
    await sell(client, "early")
    acquirer.wall.seconds += 11
    before = await client.reports(), await client.report(FIRST)
    acquirer.wall.seconds -= 3  # as if the instruction had waited since then
    late = await sell(client, "late")
    assert (await client.reports(), await client.report(FIRST)) == before
    acquirer.wall.seconds += 13
    assert (await client.reports())[:1] == before[0]
    (line,) = read(dialect, await client.report(FIRST + 1)).lines
    assert (line["id"], line["at"]) == (late, "2026-01-01T00:00:10Z")


@DIALECTS
async def test_what_is_within_its_grace_belongs_to_its_own_report(
    start: "Start", read: "Read", dialect: str
) -> None:
    """Half a second after the end a booking of before the end still counts for it."""
    acquirer = await start(dialect)
    client = acquirer.client
    acquirer.wall.seconds += 10.5
    assert await client.reports() == []
    acquirer.wall.seconds -= 1
    sold = await sell(client, "order")
    acquirer.wall.seconds += 2
    assert [line["id"] for line in read(dialect, await client.report(FIRST)).lines] == [sold]


@DIALECTS
async def test_too_many_readers_are_refused(start: "Start", dialect: str) -> None:
    """A reader takes a slot like everybody else."""
    client = (await start(dialect, in_flight_max=0)).client
    for path in (client.reports_path(), f"{client.reports_path()}/{FIRST}"):
        assert (await client.fetch(path))[0] == 429


@DIALECTS
async def test_a_kill_keeps_numbers_and_digests(launch: "Launch", read: "Read", dialect: str) -> None:
    """A process that was killed lists the same reports; fees and period come from the flags."""
    flags = [
        "--settlement-period-seconds",
        "1",
        "--fee-basis-points",
        "0",
        "--fee-fixed",
        "EUR=7,USD=0,JPY=0,KWD=0",
    ]
    first = await launch(dialect, *flags)
    sold = await sell(first.client, "order")
    lines: list[dict[str, object]] = []
    async with asyncio.timeout(60):
        while not lines:  # each round is a request; the report appears after its period and its grace
            listed = await first.client.reports()
            bodies = [await first.client.report(report["sequence"]) for report in listed]
            lines = [line for body in bodies for line in read(dialect, body).lines]
    assert [(line["id"], line["fee"]) for line in lines] == [(sold, 7)]
    first.process.kill()
    await first.process.wait()
    with pytest.raises(aiohttp.ClientError):
        await first.client.reports()
    second = await launch(dialect, *flags)
    assert (await second.client.reports())[: len(listed)] == listed


class CountingBookkeeper(Bookkeeper):
    """A bookkeeper that remembers which reports were read from the book."""

    def __init__(self, book: Book, now: Callable[[], float]) -> None:
        super().__init__(book, now=now)
        self.read: list[int] = []

    def moved(self, reports: Iterable[int]) -> Iterator[tuple[int, list[Entry]]]:
        """Remember, then read."""
        numbers = list(reports)
        self.read += numbers
        return super().moved(numbers)


async def test_a_list_reads_no_report_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests are kept until a fault begins; the least used are given up when there are too many."""
    now = 100.0
    book = Book(tmp_path / "b.db", name="north", dialect="north", period_seconds=1, now=lambda: now)
    bookkeeper, board = CountingBookkeeper(book, lambda: now), FaultRegistry()
    fees = Fees(0, dict.fromkeys(("EUR", "USD", "JPY", "KWD"), 0))
    reports = Reports(bookkeeper=bookkeeper, faults=board, fees=fees, exchanges={}, period_seconds=1)
    monkeypatch.setattr("acquirers.reports._DIGESTS_MAX", 3)

    async def read(after: int, limit: int) -> list[int]:
        bookkeeper.read.clear()
        await reports.listing(after, limit, render_report)
        return list(bookkeeper.read)

    now = 104.0
    assert await read(0, 200) == [100, 101, 102]
    assert await read(0, 200) == []
    assert await read(0, 1) == []  # from now on 101 is the one that was used least
    lease = board.add(Fault(FaultKind.TRUNCATE, 1.0), 60)
    assert await read(0, 1) == [100]
    board.clear(lease.id)
    assert await read(101, 200) == []
    assert await read(99, 2) == [101]
    await bookkeeper.close()
