"""The card tester as a real process, against a payment service that declines, then blocks."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from loadtests.settings import SettingsInvalid, read_card_testing_settings

from moneypath.oracle import Outcome, read_acknowledgement_log

ROOT = Path(__file__).parents[2]
TOKEN = "card-tester-token-of-this-test"
SECRET = "card-tester-secret-of-this-test"


@dataclass(slots=True)
class Service:
    """A stub of the payment service: declines the first cards, blocks the others, and keeps every request."""

    declined: int
    bodies: list[dict[str, object]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    enough_at: int = 1_000_000

    async def grant(self, request: web.Request) -> web.Response:
        assert (await request.post())["scope"] == "payments:authorize"
        return web.json_response({"access_token": TOKEN, "expires_in": 300})

    async def authorize(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        self.keys.append(request.headers["Idempotency-Key"])
        self.headers.append(request.headers.copy())
        self.bodies.append(await request.json())
        self.times.append(asyncio.get_running_loop().time())
        if len(self.bodies) >= self.enough_at:
            self.enough.set()
        if len(self.bodies) > self.declined:
            return web.json_response({"code": "risk_blocked"}, status=403)
        return web.json_response({"id": f"p-{len(self.bodies)}", "status": "declined"}, status=201)


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/oauth/token", service.grant)
    app.router.add_post("/v1/payments", service.authorize)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@asynccontextmanager
async def attacking(folder: Path, host: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    client_file = folder / "checkout_client"
    client_file.write_text(f"checkout:{SECRET}\n")
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "MONEYPATH_CHECKOUT_CLIENT_FILE": str(client_file),
        "MONEYPATH_CARD_RANGE": "455555",
        "MONEYPATH_CARDS_PER_SECOND": "100",
        **{f"MONEYPATH_{name.upper()}": value for name, value in settings.items()},
    }
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(ROOT / "loadtests" / "card_testing.py"),
        "--headless",
    ]
    process = await asyncio.create_subprocess_exec(
        *command, "--host", host, "--run-time", "60s", "--only-summary",
        cwd=ROOT, env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def finish(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    text = output.decode()
    assert TOKEN not in text
    assert SECRET not in text
    return text


async def test_it_tries_small_amounts_on_fresh_cards_and_nothing_else(tmp_path: Path) -> None:
    """Each card once, live traffic, one range, a bounded count; declines and blocks are no failures."""
    service = Service(declined=30)
    acknowledgement_log_file = tmp_path / "acknowledgements.jsonl"
    async with (
        serving(service) as host,
        attacking(
            tmp_path, host, cards_max="50", acknowledgement_log_file=str(acknowledgement_log_file)
        ) as process,
    ):
        output = await finish(process)
    assert process.returncode == 0, output
    assert len(service.bodies) == len(set(service.keys)) == 50
    assert len({body["card_token"] for body in service.bodies}) == 50
    assert len({body["merchant_reference"] for body in service.bodies}) == 50
    for body in service.bodies:
        assert re.fullmatch(r"tok_455555_[0-9a-f]{16}", str(body["card_token"]))
        assert isinstance(body["amount_minor"], int)
        assert 100 <= body["amount_minor"] <= 300
    assert not any("X-Traffic" in headers for headers in service.headers)
    acknowledgement_log = read_acknowledgement_log(acknowledgement_log_file)
    assert sorted(answer.idempotency_key for answer in acknowledgement_log.acknowledgements) == sorted(
        service.keys
    )
    outcomes = [answer.outcome for answer in acknowledgement_log.acknowledgements]
    assert (outcomes.count(Outcome.DECLINED), outcomes.count(Outcome.REJECTED)) == (30, 20)
    assert "tok_" not in acknowledgement_log_file.read_text()


async def test_the_rate_is_a_ceiling_and_sigterm_ends_in_order(tmp_path: Path) -> None:
    """However fast the service, no more cards a second than stated; told to stop, it ends with 0."""
    service = Service(declined=1_000_000, enough_at=32)
    async with (
        serving(service) as host,
        attacking(tmp_path, host, cards_per_second="8", users="4") as process,
    ):
        async with asyncio.timeout(60):
            await service.enough.wait()
        process.send_signal(signal.SIGTERM)
        output = await finish(process)
    assert process.returncode == 0, output
    # Each of the 4 users paces itself at 2 a second, may begin one card at once and be heard late of another.
    assert len(service.times) <= 8 * (service.times[-1] - service.times[0]) + 8
    assert not (tmp_path / "acknowledgements.jsonl").exists()


@pytest.mark.parametrize(
    ("host", "settings", "complaint"),
    [
        ("http://192.0.2.1:80", {}, "--host: http://192.0.2.1 is refused"),
        ("http://127.0.0.1:9", {"card_range": ""}, "MONEYPATH_CARD_RANGE is missing"),
    ],
)
async def test_what_is_wrong_is_one_sentence(
    tmp_path: Path, host: str, settings: dict[str, str], complaint: str
) -> None:
    """Another machine and a missing range end the run before the first request."""
    async with attacking(tmp_path, host, **settings) as process:
        output = await finish(process)
    assert process.returncode == 1
    assert f"card testing: {complaint}" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("CARD_RANGE", "355555", "must be a six-digit card range that begins with 4 or 5"),
        ("CARD_RANGE", "45555", "must be a six-digit card range that begins with 4 or 5"),
        ("CARD_RANGE", "４５５５５５", "must be a six-digit card range that begins with 4 or 5"),
        ("CARDS_PER_SECOND", "101", "must be a number from 0.1 to 100"),
        ("CARDS_PER_SECOND", "nan", "must be a number from 0.1 to 100"),
        ("CARDS_MAX", "10001", "must be an integer from 1 to 10000"),
        ("USERS", "51", "must be an integer from 1 to 50"),
        ("ANSWER_SECONDS", "0", "must be a number from 0.1 to 60"),
        ("CHECKOUT_CLIENT_FILE", "", "is missing: set it, see the head of loadtests/card_testing.py"),
    ],
)
def test_a_wrong_setting_of_an_attack_is_named(tmp_path: Path, name: str, value: str, complaint: str) -> None:
    """The message names the variable and what is allowed; with the right ones there are defaults."""
    (tmp_path / "client").write_text("checkout:the-secret\n")
    environment = {
        "MONEYPATH_CHECKOUT_CLIENT_FILE": str(tmp_path / "client"),
        "MONEYPATH_CARD_RANGE": "455555",
    }
    usual = read_card_testing_settings(environment)
    assert (usual.cards_per_second, usual.cards_max, usual.acknowledgement_log_file) == (10, 1000, None)
    assert "the-secret" not in repr(usual)
    with pytest.raises(SettingsInvalid) as caught:
        read_card_testing_settings({**environment, f"MONEYPATH_{name}": value})
    assert f"MONEYPATH_{name}" in str(caught.value)
    assert complaint in str(caught.value)
