"""The checkout load test as a real process, against a payment service that misbehaves as told."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from moneypath.capacity.client_log import ClientLog
from moneypath.oracle import Acknowledgement, Operation, Outcome, read_acknowledgement_log

ROOT = Path(__file__).parents[2]
TOKEN = "checkout-token-of-this-test"
SECRET = "checkout-secret-of-this-test"
SUCCEEDED, FAILED, DECLINED = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.DECLINED
UNKNOWN, INDETERMINATE, REJECTED = Outcome.UNKNOWN, Outcome.INDETERMINATE, Outcome.REJECTED


@dataclass(slots=True)
class Service:
    """A stub of the payment service: a script of troubles for each authorization, in the order they begin.

    What no script covers works. Definitive answers are stored under their key, as the real one does.
    """

    scripts: list[list[str]] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    forgetful: bool = False
    seen: dict[str, list[tuple[str, bytes]]] = field(default_factory=lambda: defaultdict(list))
    answered: int = 0
    granted: int = 0
    retired: set[str] = field(default_factory=set)
    stored: dict[str, tuple[int, dict[str, object]]] = field(default_factory=dict)
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    enough_at: int = 1_000_000
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def grant(self, request: web.Request) -> web.Response:
        assert aiohttp.BasicAuth.decode(request.headers["Authorization"]) == ("checkout", SECRET, "latin1")
        self.granted += 1
        return web.json_response({"access_token": f"{TOKEN}-{self.granted}", "expires_in": 300})

    async def change(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"].startswith(f"Bearer {TOKEN}-")
        if request.headers["Authorization"] in self.retired:
            return web.json_response({"code": "credential_refused"}, status=401)
        key = request.headers["Idempotency-Key"]
        first = key not in self.seen
        self.seen[key].append((request.path, await request.read()))
        if sum(map(len, self.seen.values())) >= self.enough_at:
            self.enough.set()
        if first and request.path == "/v1/payments":
            self.script_of[key] = self.scripts.pop(0) if self.scripts else []
        script = self.script_of.get(key, [])
        response = await self._misbehave(request, script.pop(0)) if script else self._answer(request, key)
        self.answered += 1
        return response

    async def _misbehave(self, request: web.Request, trouble: str) -> web.StreamResponse:
        if trouble == "drop":
            assert request.transport is not None
            request.transport.abort()
        if trouble == "hang":
            await self.released.wait()
        payment = {"id": "p-1", "status": "indeterminate" if trouble == "202" else trouble}
        match trouble:
            case "202":
                return web.json_response(payment, status=202)
            case "in_flight":
                headers = {"Retry-After": "0"}
                return web.json_response({"code": "idempotency_in_flight"}, status=409, headers=headers)
            case "merchant_reference_in_use" | "amount_exceeded":
                return web.json_response({"code": trouble}, status=409)
            case "failed":
                return web.json_response({"code": "provider_failed"}, status=502)
            case "bad gateway":
                return web.Response(status=502, text="<html>")
            case "declined":
                return web.json_response(payment, status=201)
            case "garbage":
                return web.Response(status=201, text='{"id": "p-1", "sta')
        return web.json_response({"code": "database_unavailable"}, status=503)

    def _answer(self, request: web.Request, key: str) -> web.Response:
        if key in self.stored and not self.forgetful:
            status, body = self.stored[key]
            return web.json_response(body, status=status, headers={"Idempotency-Replayed": "true"})
        kind = request.path.rsplit("/", 1)[1]
        payment = f"p-{len(self.stored)}" if kind == "payments" else request.match_info["id"]
        status, state = {
            "payments": (201, "authorized"),
            "capture": (200, "captured"),
            "refunds": (201, "refunded"),
        }[kind]
        self.stored[key] = (status, {"id": payment, "status": state})
        return web.json_response(self.stored[key][1], status=status)

    async def read(self, request: web.Request) -> web.Response:
        status = self.reads.pop(0) if self.reads else "indeterminate"
        return web.json_response({"id": request.match_info["id"], "status": status})

    script_of: dict[str, list[str]] = field(default_factory=dict)


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/oauth/token", service.grant)
    app.router.add_post("/v1/payments", service.change)
    app.router.add_post("/v1/payments/{id}/{kind:capture|refunds}", service.change)
    app.router.add_get("/v1/payments/{id}", service.read)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")
        service.released.set()


@asynccontextmanager
async def locust(folder: Path, host: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    client_file = folder / "checkout_client"
    client_file.write_text(f"checkout:{SECRET}\n")
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "MONEYPATH_ACKNOWLEDGEMENT_LOG_FILE": str(folder / "acknowledgements.jsonl"),
        "MONEYPATH_CHECKOUT_CLIENT_FILE": str(client_file),
        "MONEYPATH_CHECKOUTS_PER_SECOND": "50",
        "MONEYPATH_USERS": "1",
        "MONEYPATH_RETRY_INTERVAL_SECONDS": "0.02",
        "MONEYPATH_RETRY_BUDGET_SECONDS": "30",
        "MONEYPATH_RESEND_RATIO": "0",
        "MONEYPATH_REFUND_RATIO": "0",
        "MONEYPATH_ANSWER_SECONDS": "20",
        **{f"MONEYPATH_{name.upper()}": value for name, value in settings.items()},
    }
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "checkout.py"), "--headless"]
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


def read_answers(folder: Path) -> dict[str, list[Acknowledgement]]:
    """Return the acknowledgement log's answers by key, in order, as the oracle reads them."""
    assert TOKEN not in (folder / "acknowledgements.jsonl").read_text()
    acknowledgement_log = read_acknowledgement_log(folder / "acknowledgements.jsonl")
    assert acknowledgement_log.torn_line is None
    by_key = defaultdict(list)
    sent = Counter((one.operation, one.idempotency_key) for one in acknowledgement_log.requests)
    answered = Counter((one.operation, one.idempotency_key) for one in acknowledgement_log.acknowledgements)
    assert sent == answered, "every request is on record before its answer"
    assert {one.merchant for one in acknowledgement_log.requests} <= {"checkout"}
    for answer in acknowledgement_log.acknowledgements:
        by_key[answer.idempotency_key].append(answer)
    return by_key


def outcomes(answers: Sequence[Acknowledgement]) -> list[Outcome]:
    return [answer.outcome for answer in answers]


async def test_every_trouble_is_asked_again_with_the_same_key(tmp_path: Path) -> None:
    """No answer, 503, busy, unknown and torn answers are repeated; refusals and failures are not."""
    expected = [
        ([], [SUCCEEDED]),
        (["drop"], [UNKNOWN, SUCCEEDED]),
        (["503", "503", "in_flight"], [UNKNOWN, UNKNOWN, UNKNOWN, SUCCEEDED]),
        (["202", "202"], [INDETERMINATE, INDETERMINATE, SUCCEEDED]),
        (["garbage", "bad gateway"], [UNKNOWN, UNKNOWN, SUCCEEDED]),
        (["failed"], [FAILED]),
        (["declined"], [DECLINED]),
        (["merchant_reference_in_use"], [UNKNOWN]),
        (["amount_exceeded"], [REJECTED]),
    ]
    service = Service(scripts=[list(script) for script, _ in expected])
    async with serving(service) as host, locust(tmp_path, host, checkouts_max=str(len(expected))) as process:
        output = await finish(process)
    assert process.returncode == 0, output
    answers = read_answers(tmp_path)
    authorizations = [given for given in answers.values() if given[0].operation is Operation.AUTHORIZE]
    assert [outcomes(given) for given in authorizations] == [wanted for _, wanted in expected]
    captures = [given for given in answers.values() if given[0].operation is Operation.CAPTURE]
    assert [outcomes(given) for given in captures] == [[SUCCEEDED]] * 5
    for key, requests in service.seen.items():
        assert len(set(requests)) == 1, "a repeated request is the same request"
        assert len(requests) == len(answers[key]), "every request has its line"
    assert {given[0].merchant_reference for given in captures} < {
        given[0].merchant_reference for given in authorizations
    }


async def test_what_stays_unknown_is_read_and_then_left(tmp_path: Path) -> None:
    """Retries end with their budget; an authorization is then read, a bounded number of times."""
    unknown = ["202"] * 100
    service = Service(scripts=[list(unknown), list(unknown), ["503"] * 100], reads=["authorizing", "failed"])
    async with (
        serving(service) as host,
        locust(tmp_path, host, checkouts_max="3", retry_budget_seconds="0.1") as process,
    ):
        output = await finish(process)
    assert process.returncode == 0, output
    settled, left, silent = (
        given for given in read_answers(tmp_path).values() if given[0].operation is Operation.AUTHORIZE
    )
    assert (settled[-1].outcome, settled[-1].status_code) == (FAILED, 200)
    assert outcomes(left)[-5:] == [INDETERMINATE] * 5
    assert [answer.status_code for answer in left].count(200) == 5
    assert set(outcomes(silent)) == {UNKNOWN}
    assert {answer.status_code for answer in silent} == {503}
    assert max(len(settled), len(left), len(silent)) <= 1 + 5 + 5


async def test_a_refused_token_is_renewed_once_and_nothing_is_lost(tmp_path: Path) -> None:
    """A retired key costs one request more; all users share a token, so that few are fetched."""
    service = Service(retired={f"Bearer {TOKEN}-1"})
    async with serving(service) as host, locust(tmp_path, host, checkouts_max="5", users="3") as process:
        output = await finish(process)
    assert process.returncode == 0, output
    assert service.granted == 2
    given = read_answers(tmp_path).values()
    # The last checkouts may end before their capture.
    assert sum(answers[0].operation is Operation.AUTHORIZE for answers in given) == 5
    assert {outcomes(answers)[-1] for answers in given} == {SUCCEEDED}
    refused = [answer.status_code for answers in given for answer in answers[:-1]]
    assert set(refused) == {401}, "the service counts a refused request, so it is logged"


async def test_repeated_requests_get_the_stored_answer(tmp_path: Path) -> None:
    """Authorizations, captures and refunds are asked again; the service keeps its word."""
    service = Service()
    async with (
        serving(service) as host,
        locust(tmp_path, host, checkouts_max="3", resend_ratio="1", refund_ratio="1") as process,
    ):
        output = await finish(process)
    assert process.returncode == 0, output
    answers = read_answers(tmp_path)
    assert len(answers) == 9
    for given in answers.values():
        assert outcomes(given) == [SUCCEEDED, SUCCEEDED]
        assert [answer.replayed for answer in given] == [False, True]


async def test_a_service_that_does_the_same_twice_fails_the_run(tmp_path: Path) -> None:
    """A repeated request that is not answered as a replay is a broken promise."""
    async with (
        serving(Service(forgetful=True)) as host,
        locust(tmp_path, host, checkouts_max="2", resend_ratio="1") as process,
    ):
        output = await finish(process)
    assert process.returncode == 3, output
    assert "repeated requests were not answered with the stored answer" in output


async def test_the_rate_is_a_ceiling(tmp_path: Path) -> None:
    """However fast the service, no more checkouts begin than the rate allows."""
    service = Service(enough_at=48)
    async with (
        serving(service) as host,
        locust(tmp_path, host, checkouts_per_second="8", users="4") as process,
    ):
        async with asyncio.timeout(60):
            await service.enough.wait()
        process.send_signal(signal.SIGTERM)
        await finish(process)
    begun = sorted(
        given[0].at for given in read_answers(tmp_path).values() if given[0].operation is Operation.AUTHORIZE
    )
    # Each of the 4 users paces itself at 2 a second, may begin one checkout at once and hear late of another.
    assert len(begun) >= 20
    assert len(begun) <= 8 * (begun[-1] - begun[0]) + 8


@pytest.mark.parametrize("trouble", ["works", "503"])
async def test_sigterm_ends_in_order(tmp_path: Path, trouble: str) -> None:
    """Requests in flight and retries are all in the acknowledgement log, and the exit code is 0."""
    scripts = [] if trouble == "works" else [["503"] * 1000 for _ in range(4)]
    service = Service(scripts=scripts, enough_at=40)
    async with (
        serving(service) as host,
        locust(tmp_path, host, users="4", retry_budget_seconds="60") as process,
    ):
        async with asyncio.timeout(60):
            await service.enough.wait()
        process.send_signal(signal.SIGTERM)
        output = await finish(process)
    assert process.returncode == 0, output
    answers = read_answers(tmp_path)
    assert {key: len(given) for key, given in answers.items()} == {
        key: len(requests) for key, requests in service.seen.items()
    }


async def test_a_request_that_is_cut_off_is_written_down_as_unknown(tmp_path: Path) -> None:
    """The client asked and does not know: it says so."""
    service = Service(scripts=[["hang"] * 1000], enough_at=1)
    async with serving(service) as host, locust(tmp_path, host, answer_seconds="1") as process:
        async with asyncio.timeout(60):
            await service.enough.wait()
        process.send_signal(signal.SIGTERM)
        output = await finish(process)
    assert process.returncode == 0, output
    (given,) = read_answers(tmp_path).values()
    assert (given[0].outcome, given[0].status_code) == (UNKNOWN, 0)


async def test_the_maximum_ends_a_run_of_many_users(tmp_path: Path) -> None:
    """After so many checkouts the run is over, long before its time; no checkout more begins."""
    service = Service()
    async with serving(service) as host, locust(tmp_path, host, users="5", checkouts_max="20") as process:
        async with asyncio.timeout(60):
            await process.wait()
    assert process.returncode == 0
    authorizations = [key for key, requests in service.seen.items() if requests[0][0] == "/v1/payments"]
    assert len(authorizations) == 20


async def test_sigkill_loses_no_answer_but_those_under_way(tmp_path: Path) -> None:
    """Every line is with the kernel as soon as the answer is there."""
    service = Service(enough_at=60)
    async with serving(service) as host, locust(tmp_path, host, users="4") as process:
        async with asyncio.timeout(60):
            await service.enough.wait()
        process.kill()
        await process.wait()
    written = len(read_acknowledgement_log(tmp_path / "acknowledgements.jsonl").acknowledgements)
    assert service.answered - 4 <= written <= service.answered


async def test_another_host_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """Money of test systems on this machine only: the run ends before the first request."""
    async with locust(tmp_path, "http://192.0.2.1:80") as process:
        output = await finish(process)
    assert process.returncode == 1
    assert "--host: http://192.0.2.1 is refused" in output
    assert "Traceback" not in output
    assert not (tmp_path / "acknowledgements.jsonl").exists()


async def test_a_missing_setting_is_named_in_one_sentence(tmp_path: Path) -> None:
    """The user learns which variable to set, not where the program stopped."""
    async with locust(tmp_path, "http://127.0.0.1:9", checkouts_per_second="fast") as process:
        output = await finish(process)
    assert process.returncode == 1
    assert "MONEYPATH_CHECKOUTS_PER_SECOND: must be a number from 0.01 to 200" in output
    assert "Traceback" not in output


async def test_requests_are_logged_from_when_they_were_due(tmp_path: Path) -> None:
    """Each with its own due instant and all its answers; a repetition has a name of its own."""
    service = Service(scripts=[["503", "in_flight"], ["merchant_reference_in_use"]])
    settings = {
        "request_log_file": str(tmp_path / "requests.jsonl"),
        "checkouts_max": "3",
        "resend_ratio": "1",
    }
    async with serving(service) as host, locust(tmp_path, host, **settings) as process:
        output = await finish(process)
    assert process.returncode == 0, output
    requests = ClientLog(tmp_path / "requests.jsonl").read()
    found = sorted((each.operation, each.outcome, each.status_codes) for each in requests)
    assert found == [
        ("authorize", "succeeded", (201,)),
        ("authorize", "succeeded", (503, 409, 201)),
        ("authorize", "unknown", (409,)),
        *[("capture", "succeeded", (200,))] * 2,
        *[("replay", "succeeded", (200,))] * 2,
        *[("replay", "succeeded", (201,))] * 2,
    ]
    assert all(each.due <= each.sent <= (each.answered or 0) for each in requests)
    due = [each.due for each in requests if each.operation == "authorize"]
    assert len(set(due)) == 3
    assert max(due) - min(due) < 1.0
