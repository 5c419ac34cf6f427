"""A canary's answers, as its log keeps them."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from moneypath.drills.canary import Canary, CanaryProbeResult
from moneypath.oracle import Outcome, read_acknowledgement_log

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def token(_: web.Request) -> web.Response:
    """Give every client a token."""
    return web.json_response({"access_token": "token-of-the-test", "token_type": "Bearer", "expires_in": 300})


async def send(
    tmp_path: Path, *statuses: int, payment: str = "authorized", code: str = ""
) -> tuple[int, list[tuple[int, Outcome]]]:
    """Send one canary to a service that answers with `statuses`; return its status, and what is logged."""
    left = list(statuses)

    async def pay(request: web.Request) -> web.StreamResponse:
        assert request.headers["X-Traffic"] == "canary"
        status = left.pop(0)
        if status == 0:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"status": payment, "code": code}, status=status or 200)

    app = web.Application()
    app.add_routes([web.post("/v1/payments", pay), web.post("/v1/oauth/token", token)])
    client, log = tmp_path / "canary_client", tmp_path / "canary.jsonl"
    client.write_text("canary:secret")
    async with (
        TestServer(app) as server,
        Canary(str(server.make_url("")).rstrip("/"), client, "411111", log) as canary,
    ):
        result = await canary.send()
    kept = read_acknowledgement_log(log)
    answers = kept.acknowledgements
    assert [(one.idempotency_key, one.merchant) for one in kept.requests] == [
        (answer.idempotency_key, "canary") for answer in answers
    ]
    return result.status, [(answer.status_code, answer.outcome) for answer in answers]


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (201, "", Outcome.SUCCEEDED),
        (202, "", Outcome.INDETERMINATE),
        (402, "provider_declined", Outcome.DECLINED),
        (403, "risk_blocked", Outcome.REJECTED),
        (502, "provider_failed", Outcome.FAILED),
        (503, "", Outcome.UNKNOWN),
        (0, "", Outcome.UNKNOWN),
    ],
)
async def test_every_answer_is_logged(tmp_path: Path, status: int, code: str, outcome: Outcome) -> None:
    """Who compares the metrics has to know of every request of the canary."""
    assert await send(tmp_path, status, code=code) == (status, [(status, outcome)])


async def test_a_refused_token_is_logged_as_well(tmp_path: Path) -> None:
    """The service counts the refused request too."""
    expected = [(401, Outcome.UNPROCESSED), (201, Outcome.SUCCEEDED)]
    assert await send(tmp_path, 401, 201) == (201, expected)


@pytest.mark.parametrize(
    ("payment", "outcome"),
    [("declined", Outcome.DECLINED), ("failed", Outcome.FAILED), ("strange", Outcome.UNKNOWN)],
)
async def test_a_created_payment_says_how_it_ended(tmp_path: Path, payment: str, outcome: Outcome) -> None:
    """A declined authorization is answered 201 as well."""
    assert await send(tmp_path, 201, payment=payment) == (201, [(201, outcome)])


async def test_a_canary_without_a_token_was_never_sent(tmp_path: Path) -> None:
    """Its failure says nothing about payments, and there is no answer to log."""
    log, client = tmp_path / "canary.jsonl", tmp_path / "canary_client"
    client.write_text("canary:secret")

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({}, status=401)

    app = web.Application()
    app.add_routes([web.post("/v1/oauth/token", refuse)])
    async with (
        TestServer(app) as server,
        Canary(str(server.make_url("")).rstrip("/"), client, "411111", log) as canary,
    ):
        result = await canary.send()
    assert (result.sent, result.shows({0, 401, 502})) == (False, False)
    assert read_acknowledgement_log(log).acknowledgements == ()


async def test_an_answer_that_breaks_off_was_sent(tmp_path: Path) -> None:
    """A fault that leaves payments without an answer shows by it; one that does not, does not."""
    status, _ = await send(tmp_path, 0)
    assert CanaryProbeResult(status, 1.0).shows({0, 202})
    assert not CanaryProbeResult(status, 1.0).shows({202, 502})
