"""What a provider says that it received: all of it, or one sentence."""

from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from moneypath.oracle import ProviderBookUnreadable
from moneypath.oracle.received_requests import ReceivedRequests, read_received_requests

TOKEN = "control-token-of-this-test"


async def read(answer: Mapping[str, Any], *, status: int = 200) -> ReceivedRequests:
    """Read what a provider answers that knows the token."""

    async def handle(request: web.Request) -> web.Response:
        known = request.headers["Authorization"] == f"Bearer {TOKEN}"
        return web.json_response(answer, status=status if known else 401)

    app = web.Application()
    app.router.add_get("/truth/requests", handle)
    async with TestServer(app) as server:
        return await read_received_requests(str(server.make_url("/")), TOKEN)


async def test_the_counts_are_read_with_the_token() -> None:
    """Each operation with its count."""
    received = await read({"since": 5.0, "received": {"authorize": 7, "query": 2}})
    assert received == ReceivedRequests(5.0, {"authorize": 7, "query": 2})


def test_only_what_came_in_during_the_run_counts() -> None:
    """What was there before is taken off; an operation that is new has no base."""
    before = ReceivedRequests(5.0, {"authorize": 7})
    assert ReceivedRequests(5.0, {"authorize": 9, "query": 2}).after(before) == {"authorize": 2, "query": 2}


def test_a_provider_that_began_anew_is_not_known() -> None:
    """Its counts began at zero in between, so nobody knows how many there were."""
    assert ReceivedRequests(6.0, {"authorize": 9}).after(ReceivedRequests(5.0, {"authorize": 7})) is None


@pytest.mark.parametrize(
    ("answer", "status", "what"),
    [
        ({"since": 5.0, "received": {"authorize": 7}}, 404, "answered 404, needed: 200"),
        ({"since": 5.0}, 200, "received: must be an object"),
        (
            {"since": 5.0, "received": {"authorize": -1}},
            200,
            f"authorize: must be an integer from 0 to {2**63 - 1}",
        ),
        ({"received": {}}, 200, "since: must be a time in Unix seconds"),
    ],
)
async def test_anything_else_is_refused_in_one_sentence(
    answer: Mapping[str, Any], status: int, what: str
) -> None:
    """Half a count is none; the token stands in no error."""
    with pytest.raises(ProviderBookUnreadable) as caught:
        await read(answer, status=status)
    assert caught.value.what.endswith(f"/truth/requests: no count of received requests: {what}")
    assert TOKEN not in str(caught.value)
