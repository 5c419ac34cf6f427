"""The token source against a real server: few requests, renewed in time, one sentence when there is none."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from moneypath.stack.tokens import TokenSource, TokenUnavailable

SECRET = "the-secret-of-this-test"


@dataclass
class TokenServer:
    """A token endpoint that answers from a script, the last answer again and again."""

    script: list[tuple[int, bytes]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)
    seconds: int = 300
    url: str = ""

    def answer(self, form: str) -> tuple[int, bytes]:
        """Return the next answer."""
        self.asked.append(form)
        self.arrived.set()
        self.held.wait(10)
        if self.script:
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]
        content = {"access_token": f"token-{len(self.asked)}", "expires_in": self.seconds}
        return 200, json.dumps(content).encode()


@pytest.fixture
def token_server() -> Iterator[TokenServer]:
    """Run one."""
    token_server = TokenServer()
    token_server.held.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, body = token_server.answer(form)
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        token_server.url = f"http://127.0.0.1:{server.server_port}/"
        yield token_server
        token_server.held.set()
        server.shutdown()
        thread.join()


class Time:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr("moneypath.stack.tokens.time.monotonic", lambda: self.seconds)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Stop the time."""
    return Time(monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a client down."""
    file = tmp_path / "shop_client"
    file.write_text(f"shop:{SECRET}\n")
    return file


def test_a_token_is_kept_until_three_quarters_of_its_time(
    token_server: TokenServer, file: Path, time: Time
) -> None:
    """Fetched once, renewed before it runs out; the scopes are asked for by name."""
    source = TokenSource(token_server.url, file, "payments:read", "payments:refund")
    assert {source.header() for _ in range(100)} == {"Bearer token-1"}
    time.seconds += 224
    assert source.header() == "Bearer token-1"
    time.seconds += 1
    assert source.header() == "Bearer token-2"
    assert token_server.asked == ["grant_type=client_credentials&scope=payments%3Aread+payments%3Arefund"] * 2


def test_many_threads_fetch_one(token_server: TokenServer, file: Path) -> None:
    """They wait for the one that asks."""
    source = TokenSource(token_server.url, file)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: source.header(), range(64))) == {"Bearer token-1"}
    assert len(token_server.asked) == 1


def test_while_one_renews_the_others_go_on(token_server: TokenServer, file: Path, time: Time) -> None:
    """A slow token endpoint costs nobody time but the one that asks."""
    source = TokenSource(token_server.url, file)
    source.header()
    time.seconds += 230
    token_server.held.clear()
    token_server.arrived.clear()
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(source.header)
        assert token_server.arrived.wait(10)
        assert source.header() == "Bearer token-1"
        token_server.held.set()
        assert renewing.result(10) == "Bearer token-2"


def test_a_service_that_is_away_is_borne_until_the_token_ends(
    token_server: TokenServer, file: Path, time: Time
) -> None:
    """The old one serves, with one question a second; then there is none."""
    source = TokenSource(token_server.url, file)
    source.header()
    token_server.script = [(503, b"{}")]
    time.seconds += 230
    assert {source.header() for _ in range(10)} == {"Bearer token-1"}
    assert len(token_server.asked) == 2
    time.seconds += 1
    assert source.header() == "Bearer token-1"
    assert len(token_server.asked) == 3
    time.seconds += 69
    with pytest.raises(TokenUnavailable, match="status 503"):
        source.header()


def test_a_refused_token_is_forgotten_once(token_server: TokenServer, file: Path) -> None:
    """Whoever hears of it late does not throw the new one away."""
    source = TokenSource(token_server.url, file)
    first = source.header()
    source.forget(first)
    second = source.header()
    source.forget(first)
    assert source.header() == second == "Bearer token-2"


def test_a_rotated_secret_works_at_the_next_fetch(token_server: TokenServer, file: Path) -> None:
    """The file is read each time."""
    source = TokenSource(token_server.url, file)
    source.forget(source.header())
    file.write_text("nothing")
    with pytest.raises(TokenUnavailable, match="does not hold a client"):
        source.header()
    file.write_text("shop:another")
    assert source.header() == "Bearer token-2"


async def test_an_event_loop_is_not_held_up(token_server: TokenServer, file: Path) -> None:
    """It turns while a token is fetched."""
    source = TokenSource(token_server.url, file)
    token_server.held.clear()
    fetching = asyncio.create_task(source.header_async())
    await asyncio.to_thread(token_server.arrived.wait, 10)
    assert not fetching.done()
    token_server.held.set()
    assert await fetching == "Bearer token-1"
    assert await source.header_async() == "Bearer token-1"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'{"code":"invalid_client"}', "status 401 invalid_client"),
        (400, b"oops", "status 400"),
        (302, b"", "status 302"),
        (200, b"{", "JSONDecodeError"),
        (200, b"[]", "not a token"),
        (200, b'{"access_token":"a b","expires_in":300}', "not a token"),
        (200, b'{"access_token":"a"}', "not a token"),
        (200, b'{"access_token":"a","expires_in":true}', "not a token"),
        (200, b'{"access_token":"' + b"a" * 70000, "JSONDecodeError"),
    ],
)
def test_what_is_no_token_is_one_sentence_without_a_secret(
    token_server: TokenServer, file: Path, status: int, body: bytes, said: str
) -> None:
    """And no redirect is followed with the secret."""
    token_server.script = [(status, body)]
    with pytest.raises(TokenUnavailable, match=said) as problem:
        TokenSource(token_server.url, file, "payments:read").header()
    assert SECRET not in str(problem.value)
    assert len(token_server.asked) == 1


def test_nobody_there_is_one_sentence(file: Path, tmp_path: Path) -> None:
    """Neither a service nor a file."""
    with pytest.raises(TokenUnavailable, match="URLError"):
        TokenSource("http://127.0.0.1:9", file).header()
    with pytest.raises(TokenUnavailable, match="cannot be read: none"):
        TokenSource("http://127.0.0.1:9", tmp_path / "none").header()
