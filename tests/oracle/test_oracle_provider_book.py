"""The book reader takes the whole book or none of it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from moneypath.oracle import (
    ChargeStatus,
    Operation,
    ProviderBookUnreadable,
    ReportsUnreadable,
    ReportTaken,
    read_provider_book,
    read_reports_taken,
)

TOKEN = "control-token-of-this-test"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def row(seq: int, **changes: object) -> dict[str, object]:
    return {
        "seq": seq, "key": f"k{seq}", "kind": "capture", "reference": f"r{seq}", "amount_minor": 100,
        "currency": "EUR", "card_range": "411111", "status": "captured", "provider_reference": None,
        "at": 1.0, **changes,
    }  # fmt: skip


@asynccontextmanager
async def serving(handler: Handler, path: str = "/truth/operations") -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get(path, handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


def answering(*pages: object) -> Handler:
    """Answer one page after the other, whatever is asked."""
    left = list(pages)

    async def handle(_: web.Request) -> web.Response:
        return web.json_response(left.pop(0))

    return handle


async def test_every_page_is_read_with_the_token() -> None:
    """The cursor of each page leads to the next, and every row arrives."""
    asked: list[tuple[str, str, str]] = []

    async def handle(request: web.Request) -> web.Response:
        after, limit = int(request.query["after"]), int(request.query["limit"])
        asked.append((request.headers["Authorization"], request.query["after"], request.query["limit"]))
        rows = [row(seq) for seq in range(after + 1, min(after + limit, 5) + 1)]
        following = after + limit if after + limit < 5 else None
        return web.json_response({"provider": "north", "rows": rows, "next": following})

    async with serving(handle) as url:
        charges = await read_provider_book(url, TOKEN, page_rows=2)
    assert [charge.key for charge in charges] == ["k1", "k2", "k3", "k4", "k5"]
    assert asked == [
        (f"Bearer {TOKEN}", "0", "2"),
        (f"Bearer {TOKEN}", "2", "2"),
        (f"Bearer {TOKEN}", "4", "2"),
    ]
    assert (charges[0].provider, charges[0].operation) == ("north", Operation.CAPTURE)
    assert (charges[0].status, charges[0].effective) == (ChargeStatus.CAPTURED, True)


async def test_a_declined_row_is_read_and_has_no_effect() -> None:
    """The book also holds what moved nothing."""
    declined = row(1, kind="authorize", status="declined", provider_reference="x")
    async with serving(answering({"provider": "north", "rows": [declined], "next": None})) as url:
        (charge,) = await read_provider_book(url, TOKEN)
    assert not charge.effective


@pytest.mark.parametrize(
    ("stated", "amount_minor", "misstated"), [(None, 0, "null"), (0.4, 0, "0.4"), (2**70, 2**70, "")]
)
async def test_an_amount_that_no_ledger_holds_is_kept_as_it_is(
    stated: object, amount_minor: int, misstated: str
) -> None:
    """It is the audit's to report, and not rounded."""
    page = {"provider": "north", "rows": [row(1, amount_minor=stated)], "next": None}
    async with serving(answering(page)) as url:
        (charge,) = await read_provider_book(url, TOKEN)
    assert (charge.amount_minor, charge.misstated) == (amount_minor, misstated)


async def test_what_reports_take_is_read() -> None:
    """A report that was cut off was served, and takes nothing."""
    served = [
        {"sequence": 7, "at": 1.5, "fees_minor": {"EUR": 3}, "exchanged_minor": {"USD": -5, "EUR": 4}},
        {"sequence": 8, "at": 2.5, "fees_minor": None, "exchanged_minor": None},
    ]
    page = {"provider": "north", "served": served, "forgotten": 0}
    async with serving(answering(page), "/truth/reports") as url:
        assert await read_reports_taken(url, TOKEN) == (
            ReportTaken("north", 7, 1.5, (("EUR", 3),), (("USD", -5), ("EUR", 4))),
            ReportTaken("north", 8, 2.5, whole=False),
        )


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"provider": "north", "served": [], "forgotten": 3}, "has forgotten 3 reports"),
        ({"provider": "north", "served": {}, "forgotten": 0}, "served: must be a list"),
        (
            {
                "provider": "north",
                "served": [{"sequence": 1, "at": 0, "fees_minor": {"EUR": 0.5}, "exchanged_minor": {}}],
                "forgotten": 0,
            },
            "fees_minor: must have an integer",
        ),
    ],
)
async def test_reports_that_are_not_all_known_are_refused(content: object, complaint: str) -> None:
    """A fee could not be held to a report that nobody remembers."""
    async with serving(answering(content), "/truth/reports") as url:
        with pytest.raises(ReportsUnreadable, match=complaint):
            await read_reports_taken(url, TOKEN)


@pytest.mark.parametrize(
    ("pages", "complaint"),
    [
        ([{"provider": "north", "rows": [row(1), row(1)], "next": None}], "seq 1 follows 1"),
        ([{"provider": "north", "rows": [row(3)], "next": 2}], "next: 2 follows 3"),
        ([{"provider": "north", "rows": [], "next": 0}], "next: must be an integer from 1"),
        (
            [
                {"provider": "north", "rows": [row(2)], "next": 2},
                {"provider": "north", "rows": [row(2)], "next": None},
            ],
            "seq 2 follows 2",
        ),
        ([{"provider": "north", "rows": []}], "next: must be an integer"),
        ([{"provider": "north", "rows": {}, "next": None}], "rows: must be a list"),
        ([{"provider": "north", "rows": [1], "next": None}], "rows: must hold objects"),
        ([{"rows": [], "next": None}], "provider: must be a text"),
        (
            [{"provider": "north", "rows": [row(1, status="fine")], "next": None}],
            "status: must be one of approved",
        ),
        (
            [{"provider": "north", "rows": [row(1, kind="cancel")], "next": None}],
            "kind: must be one of authorize",
        ),
        (
            [{"provider": "north", "rows": [row(1, amount_minor="1")], "next": None}],
            "amount_minor: must be an integer",
        ),
        (
            [{"provider": "north", "rows": [row(1, provider_reference=3)], "next": None}],
            "provider_reference: must be",
        ),
        ([[]], "must be a JSON object, not list"),
    ],
)
async def test_a_book_that_contradicts_itself_is_refused(pages: list[object], complaint: str) -> None:
    """Repeated, backward or malformed pages end the reading, with what was wrong."""
    async with serving(answering(*pages)) as url:
        with pytest.raises(ProviderBookUnreadable, match=complaint) as caught:
            await read_provider_book(url, TOKEN)
    assert TOKEN not in str(caught.value)


async def test_a_wrong_token_is_said_without_showing_it() -> None:
    """The answer's status leads to the cause, and the token stays out of the message."""

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": "unauthorized"}, status=401)

    async with serving(refuse) as url:
        with pytest.raises(ProviderBookUnreadable, match="answered 401") as caught:
            await read_provider_book(url, TOKEN)
    assert TOKEN not in str(caught.value)


async def test_pages_are_bounded() -> None:
    """A book that never ends is given up, not read forever."""
    endless = [{"provider": "north", "rows": [row(seq)], "next": seq} for seq in range(1, 10)]
    async with serving(answering(*endless)) as url:
        with pytest.raises(ProviderBookUnreadable, match="more than 3 pages"):
            await read_provider_book(url, TOKEN, pages_max=3)


async def test_time_is_bounded() -> None:
    """A provider that keeps silent is given up in time."""
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with serving(hang) as url:
        with pytest.raises(ProviderBookUnreadable, match=r"no whole book within 0\.2 s"):
            await read_provider_book(url, TOKEN, timeout_seconds=0.2)
        released.set()


async def test_a_dead_provider_is_said() -> None:
    """Nobody listens: one sentence, with what to do."""
    with socket.socket() as held:
        # Bound and not listening: nobody else can be given the port meanwhile.
        held.bind(("127.0.0.1", 0))
        with pytest.raises(ProviderBookUnreadable, match="no answer: ClientConnectorError"):
            await read_provider_book(f"http://127.0.0.1:{held.getsockname()[1]}", TOKEN)
