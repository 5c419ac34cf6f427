"""Signed requests: only what was signed, only now, only once, in every process and after a restart."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from yarl import URL

import refpay
from moneypath.telemetry import Catalogue, setup
from refpay.app.responses import install_error_handlers
from refpay.app.webhook_routes import read_signed
from refpay.db.errors import DatabaseUnavailable
from refpay.db.pool import Database
from refpay.errors import RefpayError, StartRefused
from refpay.identity.signing import (
    WAITING_MAX,
    WINDOW_SECONDS,
    SignatureVerifier,
    delete_expired_nonces,
    read_signing_keys,
    sign,
)
from refpay.measures import API_METRICS, ServiceMetrics
from refpay.worker.main import open_worker

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb
    from tests.refpay.identity.conftest import ManualClock

    from refpay.settings import Settings

SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))
NONCE = "a-nonce-of-one-request"


@dataclass(frozen=True, slots=True)
class Signed:
    """A request with its headers; changing a part leaves the signature as it was."""

    timestamp: str
    method: str = "POST"
    target: str = "/v1/hooks/north?a=1"
    body: bytes = b'{"event":1}'
    key: str = "n1"
    nonce: str = NONCE
    signature: str = ""
    more: tuple[str, ...] = ()

    def signed(self, secret: bytes = SECRET) -> "Signed":
        """Return it with a right signature."""
        parts: dict[str, Any] = {"method": self.method, "target": self.target, "body": self.body}
        return replace(self, signature=sign(secret, timestamp=self.timestamp, nonce=self.nonce, **parts))

    def headers(self, name: str) -> Sequence[str]:
        """Return all values of a header."""
        found = {
            "X-Signature-Key": self.key,
            "X-Signature-Timestamp": self.timestamp,
            "X-Signature-Nonce": self.nonce,
            "X-Signature": self.signature,
        }[name]
        return [found, *self.more] if found else []


@dataclass(slots=True)
class SignedEndpoint:
    """A verifier with its keys, database and clock."""

    verifier: SignatureVerifier
    file: Path
    database: Database
    clock: "ManualClock"

    def request(self, *, ago: float = 0, **changed: Any) -> Signed:
        """Return a request of this moment, or of some seconds ago, not signed yet."""
        return Signed(str(int(self.clock.now().timestamp() - ago)), **changed)

    async def call(self, request: Signed, verifier: SignatureVerifier | None = None) -> str:
        """Return what the verifier makes of a request: its problem's code, or nothing."""
        try:
            await (verifier or self.verifier).verify(
                request.headers, method=request.method, target=request.target, body=request.body
            )
        except RefpayError as problem:
            return problem.code
        return ""

    def another(self) -> SignatureVerifier:
        """Return the verifier of another process, or of this one after a restart."""
        return SignatureVerifier("north", self.file, self.database, self.clock)


def put(file: Path, **secrets: bytes) -> None:
    """Replace the keys as a rotation does."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"keys": {name: secret.hex() for name, secret in secrets.items()}}))
    new.replace(file)


@pytest_asyncio.fixture(loop_scope="session")
async def endpoint(
    settings: "Settings", tmp_path: Path, make_clock: Callable[[], "ManualClock"]
) -> AsyncIterator[SignedEndpoint]:
    """Open a endpoint of a test's own."""
    file = tmp_path / "webhook_north.json"
    put(file, n1=SECRET)
    database = await Database.connect(settings.database, most_connections=4)
    clock = make_clock()
    yield SignedEndpoint(SignatureVerifier("north", file, database, clock), file, database, clock)
    await database.close()


async def test_a_rightly_signed_request_is_accepted_once(endpoint: SignedEndpoint) -> None:
    """Again it is refused: here, by another process, after a restart; with a new nonce it is another one."""
    request = endpoint.request().signed()
    assert await endpoint.call(request) == ""
    for verifier in (endpoint.verifier, endpoint.another()):
        assert await endpoint.call(request, verifier) == "signature_replayed"
    assert await endpoint.call(endpoint.request(nonce="another-nonce-of-it").signed()) == ""


async def test_of_many_at_once_one_is_accepted(endpoint: SignedEndpoint) -> None:
    """Whichever process is first."""
    request = endpoint.request().signed()
    verifiers = [endpoint.another() for _ in range(8)]
    answers = await asyncio.gather(*(endpoint.call(request, verifier) for verifier in verifiers))
    assert sorted(answers) == ["", *["signature_replayed"] * 7]


async def test_while_many_wait_no_more_are_taken_and_none_is_lost(endpoint: SignedEndpoint) -> None:
    """Who is sent away has used up nothing: the same request is accepted later."""
    more = 5
    requests = [
        endpoint.request(nonce=f"nonce-{number:010}").signed() for number in range(WAITING_MAX + more)
    ]
    async with AsyncExitStack() as held, asyncio.timeout(20):
        for _ in range(4):
            await held.enter_async_context(endpoint.database.transaction())
        calls = [asyncio.create_task(endpoint.call(request)) for request in requests]
        sent_away, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert [call.result() for call in sent_away] == ["database_unavailable"] * more
        await held.aclose()
        answers = await asyncio.gather(*calls)
    assert answers == [""] * WAITING_MAX + ["database_unavailable"] * more
    assert [await endpoint.call(request) for request in requests[WAITING_MAX:]] == [""] * more


def test_the_signed_text_is_the_contract() -> None:
    """Written out by hand, as any other language would."""
    digest = hashlib.sha256(b"{}").hexdigest()
    text = f"v1\nPOST\n/v1/hooks/north?x=%20y\n1763812800\nnonce-nonce-nonce\n{digest}"
    made = sign(
        b"k",
        method="POST",
        target="/v1/hooks/north?x=%20y",
        timestamp="1763812800",
        nonce="nonce-nonce-nonce",
        body=b"{}",
    )
    block = 64
    key = b"k".ljust(block, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + text.encode()).digest()
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()
    assert made == f"v1={outer}"


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "PUT"},
        {"target": "/v1/hooks/south?a=1"},
        {"target": "/v1/hooks/north?a=2"},
        {"target": "/v1/hooks/north"},
        {"body": b'{"event":2}'},
        {"body": b""},
        {"nonce": "another-nonce-of-it"},
        {"key": "n2"},
        {"key": ""},
        {"key": "../n1"},
        {"nonce": ""},
        {"nonce": "short"},
        {"nonce": "x" * 65},
        {"nonce": "a nonce with blanks in it"},
        {"timestamp": ""},
        {"timestamp": "soon"},
        {"timestamp": "1" * 30},
        {"timestamp": "-1"},
        {"timestamp": "9999999999"},
        {"signature": ""},
        {"signature": "v1="},
        {"signature": "v2=" + "0" * 64},
        {"signature": "v1=" + "0" * 64},
        {"signature": "v1=\u00e9\ud800"},
        {"more": ("twice",)},
    ],
)
async def test_whatever_is_changed_is_refused_alike(
    endpoint: SignedEndpoint, changed: dict[str, Any]
) -> None:
    """One code for all, nothing is written down, and the right one is still good."""
    right = endpoint.request().signed()
    assert await endpoint.call(replace(right, **changed)) == "signature_refused"
    assert await endpoint.call(right) == ""


async def test_every_part_is_bound(endpoint: SignedEndpoint) -> None:
    """A later time signed by nobody is refused, and so is another's secret under a right key id."""
    right = endpoint.request(ago=20).signed()
    assert await endpoint.call(replace(right, timestamp=endpoint.request().timestamp)) == "signature_refused"
    assert await endpoint.call(endpoint.request().signed(OTHER)) == "signature_refused"
    # What an unknown key is compared with opens nothing.
    assert await endpoint.call(endpoint.request(key="n2").signed(bytes(32))) == "signature_refused"


@pytest.mark.parametrize(
    ("ago", "code"), [(30, ""), (-30, ""), (31, "signature_refused"), (-31, "signature_refused")]
)
async def test_the_window_is_thirty_seconds_either_way(
    endpoint: SignedEndpoint, ago: float, code: str
) -> None:
    """To the second."""
    assert await endpoint.call(endpoint.request(ago=ago).signed()) == code
    assert WINDOW_SECONDS == 30


async def test_a_nonce_outlives_every_time_at_which_its_request_is_accepted(endpoint: SignedEndpoint) -> None:
    """Signed in the future and sent again and again while a worker forgets: never accepted twice."""
    request = endpoint.request(ago=-30).signed()
    assert await endpoint.call(request) == ""
    for _ in range(150):
        endpoint.clock.advance(1)
        await delete_expired_nonces(endpoint.database, endpoint.clock)
        assert await endpoint.call(request) in ("signature_replayed", "signature_refused")
    assert await _nonces(endpoint) == 0


async def test_forgetting_leaves_what_can_still_come_again(
    endpoint: SignedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old ones go, a bounded number at once; young ones stay."""
    for number in range(5):
        assert await endpoint.call(endpoint.request(nonce=f"nonce-number-{number:04}").signed()) == ""
    endpoint.clock.advance(91)
    young = endpoint.request().signed()
    assert await endpoint.call(young) == ""
    monkeypatch.setattr("refpay.identity.signing.NONCES_PER_BATCH", 3)
    assert [await delete_expired_nonces(endpoint.database, endpoint.clock) for _ in range(3)] == [3, 2, 0]
    assert await _nonces(endpoint) == 1
    assert await endpoint.call(young) == "signature_replayed"


async def test_strangers_cannot_fill_the_table(endpoint: SignedEndpoint) -> None:
    """A nonce is written down only for a right signature."""
    for number in range(5):
        request = endpoint.request(nonce=f"nonce-number-{number:04}").signed(OTHER)
        assert await endpoint.call(request) == "signature_refused"
    assert await _nonces(endpoint) == 0


async def test_keys_are_rotated_without_a_restart(endpoint: SignedEndpoint) -> None:
    """A new key opens at once, both open together, and a key that is gone opens no more."""
    put(endpoint.file, n1=SECRET, n2=OTHER)
    nonces = (f"nonce-number-{number:04}" for number in range(9))
    assert await endpoint.call(endpoint.request(key="n2", nonce=next(nonces)).signed(OTHER)) == ""
    assert await endpoint.call(endpoint.request(nonce=next(nonces)).signed()) == ""
    put(endpoint.file, n2=OTHER)
    endpoint.clock.advance(1)
    assert await endpoint.call(endpoint.request(nonce=next(nonces)).signed()) == "signature_refused"
    endpoint.file.write_text("{")
    endpoint.clock.advance(1)
    assert await endpoint.call(endpoint.request(key="n2", nonce=next(nonces)).signed(OTHER)) == ""


async def test_without_the_nonces_nothing_is_accepted(endpoint: SignedEndpoint) -> None:
    """A database that is away closes the endpoint: it would open to a replay."""
    request = endpoint.request().signed()
    await endpoint.database.close()
    with pytest.raises(DatabaseUnavailable):
        await endpoint.verifier.verify(
            request.headers, method=request.method, target=request.target, body=request.body
        )


async def test_over_http_the_path_counts_as_it_was_sent(
    endpoint: SignedEndpoint, serve: Callable[..., Any], make_clock: Callable[[], "ManualClock"]
) -> None:
    """Escapes and the query are signed as they stand; 401 and 403 are problems."""

    async def hook(request: Request) -> Response:
        assert request.path_params["provider"] == "no rth"
        return Response(await read_signed(request, endpoint.verifier))

    app = Starlette(routes=[Route("/v1/hooks/{provider}", hook, methods=["POST"])])
    catalogue = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
    install_error_handlers(app, ServiceMetrics(setup(catalogue, service="refpay-api", metrics=API_METRICS)))

    sent = endpoint.request(target="/v1/hooks/no%20rth?b=%41&a").signed()
    names = ("X-Signature-Key", "X-Signature-Timestamp", "X-Signature-Nonce", "X-Signature")
    headers = {name.replace("-", "_"): sent.headers(name)[0] for name in names}
    async with serve(app) as client:
        statuses = []
        for target in ("/v1/hooks/no%20rth?b=A&a", sent.target, sent.target):
            answer = await client.send("POST", URL(target, encoded=True), sent.body, by=None, **headers)
            statuses.append(answer.status)
        assert statuses == [401, 200, 403]
        assert answer.body["code"] == "signature_replayed"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([], "needed: keys"),
        ({"keys": [], "more": 1}, "keys"),
        ({"keys": {f"k{number}": "0" * 64 for number in range(11)}}, "at most 10"),
        ({"keys": {"k 1": "0" * 64}}, "keys: .* pattern"),
        ({"keys": {"k1": "abc" * 21}}, r"keys: .*\{64\}"),
        ({"keys": {"k1": 1}}, "keys: .* string"),
    ],
)
def test_a_wrong_signing_file_is_named_and_not_quoted(tmp_path: Path, content: Any, named: str) -> None:
    """One sentence with what is allowed."""
    file = tmp_path / "webhook_north.json"
    file.write_text(json.dumps(content))
    with pytest.raises(StartRefused, match=named) as problem:
        read_signing_keys(file)
    # An id is not quoted either: in a mangled file it may be the secret.
    assert not any(text in problem.value.detail for text in ("abcabc", "k 1"))


async def test_the_database_refuses_what_a_nonce_is_not(db: "RefpayDb", endpoint: SignedEndpoint) -> None:
    """Too short, too long, twice."""
    later = endpoint.clock.now() + timedelta(minutes=1)
    insert = "INSERT INTO identity.nonce VALUES ($1, $2, $3)"
    for nonce in ("short", "x" * 65):
        with pytest.raises(Exception, match="nonce_nonce_check"):
            await db.rows(insert, "north/n1", nonce, later)


async def _nonces(endpoint: SignedEndpoint) -> int:
    async with endpoint.database.transaction() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM identity.nonce"))


async def test_the_worker_forgets_old_nonces(db: "RefpayDb", settings: "Settings") -> None:
    """And leaves those that could still come again."""
    now = datetime.now(UTC)
    insert = "INSERT INTO identity.nonce VALUES ('north/n1', $1, $2)"
    await db.rows(insert, "the-nonce-of-long-ago", now - timedelta(seconds=1))
    await db.rows(insert, "the-nonce-of-a-moment-ago", now + timedelta(minutes=5))
    async with open_worker(settings), asyncio.timeout(30):
        while len(found := await db.rows("SELECT nonce FROM identity.nonce")) > 1:  # noqa: ASYNC110 - a row
            await asyncio.sleep(0.02)
    assert [row["nonce"] for row in found] == ["the-nonce-of-a-moment-ago"]
