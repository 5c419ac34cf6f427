"""Ask a target: arguments stay in their place, commands end, answers are bounded, secrets stay secret."""

import asyncio
import datetime
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import encode_basic_auth, web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from moneypath.prometheus import PrometheusUnreachable, QueryFailed
from moneypath.secret_files import SecretFileUnusable
from moneypath.target.calls import Call
from moneypath.target.conformance.look import prometheus_of
from moneypath.target.errors import CallRefused, CallUnanswered
from moneypath.target.exchange import ANSWER_BYTES_MAX, Exchange
from moneypath.target.loader import load_target
from moneypath.target.placeholders import Argument, JsonValue, fill, fill_url, set_variables

from .stranger import WORD, target_file


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    """Return an exchange with a target whose servers are nowhere."""
    return _exchange(tmp_path)


def _exchange(folder: Path, **changes: Any) -> Exchange:
    nowhere = dict.fromkeys(("wallet", "prometheus", "alertmanager"), "http://127.0.0.1:1")
    return Exchange.of(load_target(target_file(folder, **changes), nowhere))


def _command(*words: str, seconds: float = 20.0) -> Call:
    return Call.model_validate({"command": words, "timeout_seconds": seconds})


@given(st.text(max_size=40).filter(lambda text: text not in ("", ".", "..")))
def test_an_argument_never_leaves_its_place_in_an_address(text: str) -> None:
    """Slashes, dots, marks and new lines are quoted: scheme, host, query and the number of parts stay."""
    url = urlsplit(fill_url("http://h:1/a/{name}/b?c=1", {"name": text}))
    assert (url.scheme, url.netloc, url.query, url.fragment) == ("http", "h:1", "c=1", "")
    assert (url.path.count("/"), url.path[:3], url.path[-2:]) == (3, "/a/", "/b")


@given(st.text(max_size=40), st.integers(), st.booleans())
def test_a_filled_body_says_what_was_given(text: str, number: int, truth: bool) -> None:
    """A whole placeholder keeps its type; braces of an argument are not placeholders again."""
    arguments: dict[str, Argument] = {"text": text, "number": number, "truth": truth, "list": ["a", "b"]}
    wanted: JsonValue = {"n": "{number}", "t": "{truth}", "l": "{list}", "s": "x {text}", "none": "{none}"}
    body = fill(wanted, arguments)
    assert body == {"n": number, "t": truth, "l": ["a", "b"], "s": f"x {text}"}
    assert set_variables("${a}{b}", {"a": "{b}${a}"}) == "{b}${a}{b}"


async def test_a_command_gets_its_words_and_no_shell(exchange: Exchange) -> None:
    """A word with a shell's signs is one word; the answer is JSON when the command prints it."""
    print_words = "import json, sys; print(json.dumps({'words': sys.argv[1:]}))"
    call = _command(sys.executable, "-c", print_words, "{where}; rm -rf $HOME", "{n}")
    answer = await exchange.ask(call, {"where": "a b", "n": 0.5})
    assert answer.field("words") == ["a b; rm -rf $HOME", "0.5"]


@pytest.mark.parametrize(
    ("program", "seconds", "said"),
    [
        ("import sys; sys.exit(3)", 20.0, "ended with exit code 3"),
        ("import time; time.sleep(60)", 0.3, "was not over within 0.3 s"),
        (f"print('x' * {ANSWER_BYTES_MAX + 1})", 20.0, f"printed more than {ANSWER_BYTES_MAX} bytes"),
    ],
)
async def test_a_command_is_bounded(exchange: Exchange, program: str, seconds: float, said: str) -> None:
    """Exit code, time and output."""
    with pytest.raises((CallRefused, CallUnanswered), match=said):
        await exchange.ask(_command(sys.executable, "-c", program, seconds=seconds))


async def test_what_a_command_started_ends_with_it(exchange: Exchange, tmp_path: Path) -> None:
    """A grandchild that would outlive the time limit is killed."""
    file = tmp_path / "pid"
    program = (
        "import subprocess, sys, pathlib, time; p = subprocess.Popen(['sleep', '600']); "
        f"pathlib.Path({str(file)!r}).write_text(str(p.pid)); time.sleep(600)"
    )
    with pytest.raises(CallUnanswered):
        await exchange.ask(_command(sys.executable, "-c", program, seconds=3.0))
    descriptor = None
    try:
        descriptor = os.pidfd_open(int(file.read_text()))
    except ProcessLookupError:
        return
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, done.set)
    try:
        await asyncio.wait_for(done.wait(), 20)
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def test_a_program_that_is_not_there_is_a_sentence(exchange: Exchange) -> None:
    """No stack trace, and what to do."""
    with pytest.raises(CallUnanswered, match="`no-such-program`: cannot be started"):
        await exchange.ask(_command("no-such-program"))


async def test_an_answer_without_end_is_refused(exchange: Exchange) -> None:
    """A service that answers more than the limit is cut off."""

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        with_pause = ANSWER_BYTES_MAX // 1000
        while True:
            await answer.write(b"x" * with_pause)

    app = web.Application()
    app.add_routes([web.get("/", endless)])
    async with TestServer(app) as server:
        call = Call.model_validate({"request": {"url": str(server.make_url("/"))}})
        with pytest.raises(CallUnanswered, match="more than"):
            await exchange.ask(call)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[str]:
    """Serve a Prometheus' interface with TLS, a path prefix and basic auth, as a proxy does."""
    wanted = encode_basic_auth("operator", WORD)

    async def query(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != wanted:
            return web.Response(status=401, text="Unauthorized")
        result = {"resultType": "vector", "result": [{"metric": {}, "value": [1, "7"]}]}
        return web.json_response({"status": "success", "data": result})

    app = web.Application()
    app.add_routes([web.post("/monitoring/api/v1/query", query)])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(_certificate(tmp_path))
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=tls)
    try:
        yield f"https://localhost:{server.port}/monitoring"
    finally:
        await server.close()


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(certificate.public_bytes(pem) + private)
    return file


async def test_a_prometheus_behind_auth_tls_and_a_prefix_is_asked(tmp_path: Path, guarded: str) -> None:
    """With password and authority it answers; without either it is a sentence that names no secret."""
    auth = {"kind": "basic", "user": "operator", "password_file": "operator"}
    whole = {"url": guarded, "auth": auth, "ca_file": "certificate.pem"}
    prometheus = await prometheus_of(_exchange(tmp_path, look={"prometheus": whole}))
    assert await prometheus.value("x") == 7
    assert WORD not in repr(prometheus)
    for lacking in ("auth", "ca_file"):
        look = {"prometheus": {key: value for key, value in whole.items() if key != lacking}}
        asked = await prometheus_of(_exchange(tmp_path, look=look))
        with pytest.raises(QueryFailed if lacking == "auth" else PrometheusUnreachable):
            await asked.value("x")
    (tmp_path / "operator").chmod(0o644)
    with pytest.raises(SecretFileUnusable, match="may be read by others"):
        await prometheus_of(_exchange_as_is(tmp_path))


def _exchange_as_is(folder: Path) -> Exchange:
    """Return an exchange whose secrets keep the modes that they have."""
    modes = {file: file.stat().st_mode for file in folder.iterdir() if file.is_file()}
    auth = {"kind": "basic", "user": "operator", "password_file": "operator"}
    exchange = _exchange(folder, look={"prometheus": {"url": "http://127.0.0.1:1", "auth": auth}})
    for file, mode in modes.items():
        file.chmod(mode)
    return exchange


def test_what_is_sent_is_plain_json() -> None:
    """Text of a file is never evaluated."""
    assert fill(json.loads('["{a}", "{{a}}", "$(x)"]'), {"a": "{b}"}) == ["{b}", "{{b}}", "$(x)"]
