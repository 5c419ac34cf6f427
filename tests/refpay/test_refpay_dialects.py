"""Both dialects against the real acquirers, and against providers that answer what nobody agreed on."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from refpay.money import Currency, Money
from refpay.providers.errors import ProviderOutcomeUnknown, ProviderRefused
from refpay.providers.http import open_session
from refpay.providers.north import NorthAdapter, NorthReports
from refpay.providers.port import Answer, Call, CallKind, Provider, ProviderResult
from refpay.providers.reports import MovementKind, ReportInvalid
from refpay.providers.south import SouthAdapter
from refpay.providers.south_reports import SouthReports
from refpay.settings import ProviderSettings

if TYPE_CHECKING:
    from tests.refpay.conftest import Acquirer

DIALECTS = pytest.mark.parametrize("dialect", ["north", "south"])
DEADLINE = datetime(2100, 1, 1, tzinfo=UTC)
AUTHORIZE = Call(
    kind=CallKind.AUTHORIZE,
    key=uuid4(),
    deadline=DEADLINE,
    reference="order-1",
    money=Money(1000, Currency.EUR),
    card_token="tok_411111_ab",
)
# What each dialect answers when an operation is done: the status, then the answer to the query.
DONE: Mapping[str, Mapping[CallKind, tuple[str, str]]] = {
    "north": {
        CallKind.AUTHORIZE: ("approved", "id"),
        CallKind.CAPTURE: ("captured", "id"),
        CallKind.REFUND: ("refunded", "id"),
        CallKind.VOID: ("voided", "id"),
        CallKind.PAYOUT: ("paid", "id"),
    },
    "south": {
        CallKind.AUTHORIZE: ("AUTHORISED", "authCode"),
        CallKind.CAPTURE: ("SETTLED", "settlementId"),
        CallKind.REFUND: ("REFUNDED", "refundId"),
        CallKind.VOID: ("CANCELLED", "cancelId"),
        CallKind.PAYOUT: ("PAID", "payoutId"),
    },
}


def make(dialect: str, session: aiohttp.ClientSession, url: str, api_key: str = "k") -> Provider:
    """Return the dialect's adapter."""
    adapter = NorthAdapter if dialect == "north" else SouthAdapter
    return adapter(session, ProviderSettings(dialect, url, api_key))


def follow(kind: CallKind, answer: Answer, minor: int) -> Call:
    """Return a call that follows an operation."""
    money, parent = Money(minor, Currency.EUR), answer.provider_reference or ""
    return replace(AUTHORIZE, kind=kind, key=uuid4(), card_token="", money=money, parent=parent)


def query(key: UUID) -> Call:
    """Return the question what became of a key."""
    return Call(kind=CallKind.QUERY, key=key, deadline=DEADLINE)


@DIALECTS
async def test_a_whole_life_at_a_real_acquirer(
    dialect: str, acquirers: "Mapping[str, Acquirer]", secrets_folder: Path
) -> None:
    """Two captures, a refund, a void of the rest and a payout; repeated and asked about, each is the same."""
    api_key = (secrets_folder / f"{dialect}_api_key").read_text().strip()
    async with open_session() as session:
        provider = make(dialect, session, acquirers[dialect].url, api_key)
        reference = f"order-{uuid4()}"
        first = replace(AUTHORIZE, key=uuid4(), reference=reference)
        authorized = await provider.perform(first)
        one = replace(follow(CallKind.CAPTURE, authorized, 400), reference=reference)
        captured = await provider.perform(one)
        rest = [
            follow(CallKind.CAPTURE, authorized, 500),
            follow(CallKind.REFUND, captured, 399),
            follow(CallKind.VOID, authorized, 100),
            replace(follow(CallKind.PAYOUT, Answer(ProviderResult.DONE), 7), beneficiary="shop"),
        ]
        calls = [first, one, *(replace(call, reference=reference) for call in rest)]
        answers = [await provider.perform(call) for call in calls]
        assert answers[:2] == [authorized, captured]
        assert {answer.result for answer in answers} == {ProviderResult.DONE}
        assert len({answer.provider_reference for answer in answers}) == 6
        assert [await provider.perform(query(call.key)) for call in calls] == answers
        for kind, parent, minor in (
            (CallKind.CAPTURE, authorized, 1), (CallKind.VOID, authorized, 9), (CallKind.REFUND, captured, 2),
        ):  # fmt: skip
            refused = follow(kind, parent, minor)
            assert await provider.perform(refused) == Answer(ProviderResult.REFUSED)
            assert await provider.perform(query(refused.key)) == Answer(ProviderResult.REFUSED)
        assert await provider.perform(query(uuid4())) == Answer(ProviderResult.UNKNOWN_KEY)


class Odd:
    """A server that answers every request as it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.body: Any = {}
        self.requests: list[tuple[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Answer."""
        self.requests.append((request.path, (await request.read()).decode()))
        return web.json_response(self.body, status=self.status)


@pytest_asyncio.fixture(loop_scope="session")
async def odd() -> AsyncIterator[tuple[Odd, str, aiohttp.ClientSession]]:
    """Serve the odd provider."""
    found = Odd()
    app = web.Application()
    app.add_routes([web.route("*", "/{tail:.*}", found.answer)])
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        session = await stack.enter_async_context(open_session())
        yield found, f"http://127.0.0.1:{runner.addresses[0][1]}", session


@DIALECTS
@pytest.mark.parametrize("kind", list(DONE["north"]))
async def test_only_the_agreed_word_is_a_success(
    odd: "tuple[Odd, str, aiohttp.ClientSession]", dialect: str, kind: CallKind
) -> None:
    """Every other operation's word, an unknown one and one without a reference leave the effect unknown."""
    server, url, session = odd
    provider = make(dialect, session, url)
    call = follow(kind, Answer(ProviderResult.DONE, "parent"), 5)
    word, reference = DONE[dialect][kind]
    status = "status" if dialect == "north" else "result"
    asked = "status" if dialect == "north" else "state"
    described = {"key": str(call.key), "kind": kind.value}
    server.body = {status: word, reference: "theirs"}
    assert await provider.perform(call) == Answer(ProviderResult.DONE, "theirs")
    server.body = {**described, asked: word, reference: "theirs"}
    assert await provider.perform(query(call.key)) == Answer(ProviderResult.DONE, "theirs")
    others = [other for one, (other, _) in DONE[dialect].items() if one is not kind]
    for wrong in (*others, "pending", "", None, 5):
        server.body = {status: wrong, reference: "theirs"}
        with pytest.raises(ProviderOutcomeUnknown):
            await provider.perform(call)
        server.body = {**described, asked: wrong, reference: "theirs"}
        with pytest.raises(ProviderOutcomeUnknown):
            await provider.perform(query(call.key))
    server.body = {status: word}
    with pytest.raises(ProviderOutcomeUnknown):
        await provider.perform(call)


@DIALECTS
@pytest.mark.parametrize("kind", [CallKind.VOID, CallKind.PAYOUT])
async def test_statuses_of_the_new_operations_say_what_happened(
    odd: "tuple[Odd, str, aiohttp.ClientSession]", dialect: str, kind: CallKind
) -> None:
    """422 is final, 503 and 429 had no effect, all others may have had one; a bare 404 is no answer."""
    server, url, session = odd
    provider = make(dialect, session, url)
    call = follow(kind, Answer(ProviderResult.DONE, "parent"), 5)
    server.status = 422
    assert await provider.perform(call) == Answer(ProviderResult.REFUSED)
    for server.status in (503, 429, 401):
        with pytest.raises(ProviderRefused):
            await provider.perform(call)
    for server.status in (404, 409, 500, 302):
        with pytest.raises(ProviderOutcomeUnknown):
            await provider.perform(call)
    server.status = 404
    with pytest.raises(ProviderOutcomeUnknown):
        await provider.perform(query(call.key))
    server.body = {"error": "unknown_key"}
    assert await provider.perform(query(call.key)) == Answer(ProviderResult.UNKNOWN_KEY)


@pytest.mark.parametrize("kind", [CallKind.CAPTURE, CallKind.REFUND, CallKind.VOID, CallKind.PAYOUT])
async def test_only_an_authorization_is_declined(
    odd: "tuple[Odd, str, aiohttp.ClientSession]", kind: CallKind
) -> None:
    """In north's dialect; nobody but an issuer declines, so of others the word says nothing."""
    server, url, session = odd
    server.body = {"status": "declined", "decline_code": "do_not_honor"}
    with pytest.raises(ProviderOutcomeUnknown):
        await make("north", session, url).perform(follow(kind, Answer(ProviderResult.DONE, "parent"), 5))
    declined = await make("north", session, url).perform(AUTHORIZE)
    assert declined.result is ProviderResult.DECLINED


async def test_what_is_sent_is_as_agreed(odd: "tuple[Odd, str, aiohttp.ClientSession]") -> None:
    """Path and fields of voids and payouts, in each dialect's own words."""
    server, url, session = odd
    server.status = 422
    void = follow(CallKind.VOID, Answer(ProviderResult.DONE, "auth_1"), 1234)
    payout = replace(
        follow(CallKind.PAYOUT, Answer(ProviderResult.DONE), 5), beneficiary="shop", reference="p-1"
    )
    for dialect in ("north", "south"):
        for call in (void, payout):
            await make(dialect, session, url).perform(call)
    (one, body), (two, more), *south = server.requests
    assert (one, two) == ("/v1/voids", "/v1/payouts")
    money = {"amount": 1234, "currency": "EUR"}
    assert json.loads(body) == {"reference": "order-1", "authorization": "auth_1", **money}
    assert json.loads(more) == {"reference": "p-1", "beneficiary": "shop", "amount": 5, "currency": "EUR"}
    key, other = void.key, payout.key
    assert south == [
        (
            "/gateway/cancel",
            f"transactionRef={key}&orderRef=order-1&amount=12.34&currency=EUR&authCode=auth_1",
        ),
        ("/gateway/payout", f"transactionRef={other}&orderRef=p-1&amount=0.05&currency=EUR&payee=shop"),
    ]


def read(dialect: str, body: bytes) -> Any:
    """Read a report without asking for it."""
    return (NorthReports if dialect == "north" else SouthReports).read(body)


LINE = {
    "key": "k", "reference": "order-1", "id": "chb_1", "kind": "chargeback", "amount": 250, "currency": "EUR",
    "fee": 0, "at": "2026-01-01T00:00:05Z",
}  # fmt: skip
TOTALS = {"lines": 2, "captured": 0, "refunded": 0, "fees": 0, "charged_back": 250, "reversed": 100}
NORTH: dict[str, Any] = {
    "sequence": 1,
    "from": "2026-01-01T00:00:00Z",
    "to": "2026-01-01T00:00:10Z",
    "lines": [LINE, {**LINE, "kind": "chargeback_reversal", "amount": 100}],
    "totals": {"EUR": TOTALS},
}
SOUTH = """\
H,1,2026-01-01T00:00:00Z,2026-01-01T00:00:10Z
D,k,order-1,chb_1,B,2.50,EUR,0.00,2026-01-01T00:00:05Z
D,k,order-1,chb_1,W,1.00,EUR,0.00,2026-01-01T00:00:05Z
C,EUR,2,0.00,0.00,0.00
B,EUR,2.50,1.00
T,2
"""


@pytest.mark.parametrize(("dialect", "body"), [("north", json.dumps(NORTH)), ("south", SOUTH)])
def test_chargebacks_are_read_from_reports(dialect: str, body: str) -> None:
    """One case has one movement for both of its lines; the first takes from what we are owed."""
    opened, won = read(dialect, body.encode()).lines
    assert (opened.kind, won.kind) == (MovementKind.CHARGEBACK, MovementKind.CHARGEBACK_REVERSAL)
    assert (opened.movement, won.movement, opened.key) == ("chb_1", "chb_1", "k")
    assert (opened.signed_minor, won.signed_minor) == (-250, 100)


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("north", json.dumps({**NORTH, "totals": {"EUR": {**TOTALS, "charged_back": 251}}})),
        ("north", json.dumps({**NORTH, "totals": {"EUR": {**TOTALS, "reversed": 99}}})),
        ("north", json.dumps({**NORTH, "totals": {"EUR": {**TOTALS, "reversed": -100}}})),
        ("north", json.dumps({**NORTH, "totals": {"EUR": {**TOTALS, "refunded": 250, "charged_back": 0}}})),
        ("north", json.dumps({**NORTH, "lines": [{**LINE, "kind": "dispute"}]})),
        ("north", json.dumps({**NORTH, "totals": {}})),
        ("north", json.dumps(NORTH).replace('"amount": 250', '"amount": "250"')),
        ("north", json.dumps(NORTH).replace('"fee": 0', '"fee": false')),
        ("north", json.dumps(NORTH).replace("00:00:05Z", "00:00:05")),
        ("north", json.dumps(NORTH).replace("2026-01-01T00:00:05Z", "0001-01-01T00:00:00+23:59")),
        ("north", json.dumps(NORTH).replace("2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z")),
        ("south", SOUTH.replace("C,EUR,2,0.00,0.00,0.00\nB,EUR,2.50,1.00\n", "")),
        ("south", SOUTH.replace("T,2", "T,+2")),
        ("south", SOUTH.replace("B,EUR,2.50,1.00", "B,EUR,2.51,1.00")),
        ("south", SOUTH.replace("B,EUR,2.50,1.00", "B,EUR,2.50,0.99")),
        ("south", SOUTH.replace("B,EUR,2.50,1.00\n", "")),
        ("south", SOUTH.replace("B,EUR,2.50,1.00\n", "B,EUR,2.50,1.00\nB,EUR,2.50,1.00\n")),
        ("south", SOUTH.replace("B,EUR,2.50,1.00", "B,EUR,2.50,1.00\nB,USD,0.00,0.00")),
        ("south", SOUTH.replace("B,EUR,2.50,1.00", "B,EUR,2.50")),
        ("south", SOUTH.replace("chb_1,B,", "chb_1,X,")),
        ("south", SOUTH.replace("C,EUR,2,0.00,0.00,0.00\nB,EUR,2.50,1.00", "B,EUR,2.50,1.00\nC,EUR,2,0,0,0")),
    ],
)
def test_a_report_that_contradicts_itself_or_the_contract_is_refused(dialect: str, body: str) -> None:
    """Totals that differ, are missing or doubled, records out of order, kinds and values nobody agreed on."""
    with pytest.raises(ReportInvalid):
        read(dialect, body.encode())


def test_reports_without_chargebacks_need_not_mention_them() -> None:
    """As before there were any; what is not stated is 0, and held against the lines like all else."""
    plain = {name: TOTALS[name] for name in ("lines", "captured", "refunded", "fees")}
    empty = {**NORTH, "lines": [], "totals": {"EUR": dict.fromkeys(plain, 0)}}
    assert read("north", json.dumps(empty).encode()).lines == []
    with pytest.raises(ReportInvalid):
        read("north", json.dumps({**NORTH, "totals": {"EUR": plain}}).encode())


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("north", json.dumps({**NORTH, "lines": [{**LINE, "at": "4111111111111111"}] * 1000})),
        ("north", json.dumps({**NORTH, "totals": {f"4111{n}": TOTALS for n in range(1000)}})),
        ("north", json.dumps({**NORTH, "totals": {"4111": TOTALS}})),
        ("south", SOUTH.replace(",chb_1,B,", ",4111 1111,B,")),
    ],
)
def test_a_wrong_report_is_wrong_at_once_and_is_not_quoted(dialect: str, body: str) -> None:
    """To list what else is wrong in 20 MB would take gigabytes; what they wrote is in no error of ours."""
    with pytest.raises(ReportInvalid) as refused:
        read(dialect, body.encode())
    assert "4111" not in refused.value.detail
    cause = refused.value.__cause__
    assert isinstance(cause, ValidationError)
    assert cause.error_count() == 1


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("north", r"""b'{"lines":[' + b'{},' * 6_600_000 + b'{}]}'"""),
        ("north", r"""b'{"x":[' + b'0,' * 9_900_000 + b'0]}'"""),
        ("south", r"b'\n' * 19_999_999"),
        ("south", r"b'H\n' * 9_999_999"),
    ],
)
def test_a_hostile_report_takes_no_gigabyte(dialect: str, body: str) -> None:
    """The largest that is fetched, of millions of nothings; the worker has other duties beside it."""
    source = ("north", "NorthReports") if dialect == "north" else ("south_reports", "SouthReports")
    script = f"""
import contextlib, resource
from refpay.providers.{source[0]} import {source[1]} as source
from refpay.providers.reports import ReportInvalid
body = {body}
with contextlib.suppress(ReportInvalid):
    source.read(body)
    raise AssertionError("it was accepted")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000


async def test_a_wrong_listing_is_wrong_at_once(odd: "tuple[Odd, str, aiohttp.ClientSession]") -> None:
    """As with reports: what else is wrong in it would take the loop a second, and hundreds of MB."""
    server, url, session = odd
    server.body = {"reports": [0] * 1000}
    source = NorthReports(session, ProviderSettings("north", url, "k"), report_seconds=5)
    with pytest.raises(ProviderOutcomeUnknown) as silent:
        await source.notices(after=0, limit=200)
    cause = silent.value.__cause__
    assert isinstance(cause, ValidationError)
    assert cause.error_count() == 1


@DIALECTS
async def test_a_query_whose_connection_breaks_is_sent_once(dialect: str) -> None:
    """The HTTP client sends a query again by itself when the connection breaks: nobody would count that."""
    received = 0

    async def hang_up(request: web.Request) -> web.Response:
        nonlocal received
        received += 1
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.add_routes([web.route("*", "/{tail:.*}", hang_up)])
    async with TestServer(app) as server, open_session() as session:
        provider = make(dialect, session, str(server.make_url("")).rstrip("/"))
        with pytest.raises(ProviderOutcomeUnknown, match="connection to the provider broke"):
            await provider.perform(query(uuid4()))
    assert received == 1
