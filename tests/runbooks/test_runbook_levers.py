"""The HTTP levers against a real server: audited, the same key in every retry, nothing secret in words."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from moneypath.runbooks import LEVERS, LeverCall, LeverRefused, LeverUnanswered, http_levers
from moneypath.runbooks.levers import MAX_ANSWER_BYTES, MAX_ATTEMPTS

TOKEN = "operations-token-of-the-test"
DROP: tuple[int, dict[str, Any]] = (0, {})
GOOD: tuple[int, dict[str, Any]] = (200, {"provider": "north", "routing_active": False, "changed": True})


@dataclass(slots=True)
class Refpay:
    """Answers the routing operations from a script; the last answer repeats. Status 0 closes without one."""

    script: list[tuple[int, Any]] = field(default_factory=lambda: [GOOD])
    seen: list[tuple[str, str, str, Any]] = field(default_factory=list)
    url: str = ""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Keep path, authorization, key and body, then answer."""
        headers = request.headers
        self.seen.append(
            (request.path, headers["Authorization"], headers["Idempotency-Key"], await request.json())
        )
        status, body = self.script[min(len(self.seen), len(self.script)) - 1]
        if status == 0:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if status == -1:
            await self.released.wait()
        if isinstance(body, bytes):
            return web.Response(status=status, body=body)
        headers_out = {"Location": "/v1/operations/providers/other/drain"} if status == 307 else {}
        return web.json_response(body, status=max(status, 200), headers=headers_out)


@pytest.fixture
async def refpay() -> AsyncIterator[Refpay]:
    """A server on a free port."""
    refpay = Refpay()
    app = web.Application()
    app.router.add_post("/v1/operations/{path:.+}", refpay.handle)
    async with TestServer(app) as server:
        refpay.url = str(server.make_url("/"))
        yield refpay
        refpay.released.set()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file that holds the token and a line end."""
    file = tmp_path / "ops_token"
    file.write_text(f"{TOKEN}\n", encoding="ascii")
    return file


def call(name: str = "provider.drain", *arguments: str, seconds: float = 5.0) -> LeverCall:
    """Return one pull for north unless told otherwise."""
    return LeverCall(name, arguments or ("north",), "key-1", "incident inc-1: step 3 drain", seconds)


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        ("provider.drain", "north", "providers/north/drain"),
        ("provider.restore", "north", "providers/north/restore"),
        ("dead-letters.replay", "compliance_log", "dead-letters/compliance_log/replay"),
        ("risk.block", "411111", "risk/ranges/411111/block"),
        ("risk.block", "busiest", "risk/ranges/busiest/block"),
        ("risk.unblock", "busiest", "risk/ranges/busiest/unblock"),
        ("duplicates.refund", "north", "duplicates/north/refund"),
        ("settlement.refetch", "south", "settlements/south/refetch"),
    ],
)
async def test_a_lever_posts_its_operation(
    refpay: Refpay, token_file: Path, name: str, argument: str, expected: str
) -> None:
    """Path, bearer token, key and reason are those of the call; the fields come back."""
    answer = await http_levers(refpay.url, token_file)[name](call(name, argument))
    assert answer == GOOD[1]
    path, authorization, key, body = refpay.seen[0]
    assert path == f"/v1/operations/{expected}"
    assert authorization == f"Bearer {TOKEN}"
    assert key == "key-1"
    assert body == {"reason": "incident inc-1: step 3 drain"}


async def test_the_replay_lever_asks_until_the_worker_has_done_it(refpay: Refpay, token_file: Path) -> None:
    """202 says that it is written down; the same key hears of the end."""
    done = {"queue": "compliance_log", "state": "done", "found": 2}
    refpay.script = [(202, {"state": "requested"}), (202, {"state": "running"}), (200, done)]
    lever = http_levers(refpay.url, token_file)["dead-letters.replay"]
    assert await lever(call("dead-letters.replay", "compliance_log")) == done
    assert {(path, key) for path, _, key, _ in refpay.seen} == {
        ("/v1/operations/dead-letters/compliance_log/replay", "key-1")
    }


def test_the_levers_are_those_that_the_linter_knows(token_file: Path) -> None:
    """A lever cannot be linted without being there, nor be there unlinted."""
    assert set(http_levers("http://127.0.0.1:1", token_file)) == LEVERS


@pytest.mark.parametrize(
    "first",
    [
        DROP,
        (503, {"code": "database_unavailable"}),
        (500, b"oops"),
        (429, {"code": "shed"}),
        (409, {"code": "idempotency_in_flight"}),
        (200, b"cut off {"),
        (200, []),
    ],
    ids=["no answer", "503", "500 text", "429", "in flight", "torn", "list"],
)
async def test_a_passing_trouble_is_retried_with_the_same_key(
    refpay: Refpay, token_file: Path, first: tuple[int, Any]
) -> None:
    """The service sees one key twice, so there is one effect."""
    refpay.script = [first, GOOD]
    answer = await http_levers(refpay.url, token_file)["provider.drain"](call())
    assert answer["changed"] is True
    assert [key for _, _, key, _ in refpay.seen] == ["key-1", "key-1"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (409, "last_active_provider"),
        (409, "idempotency_key_reused"),
        (403, "scope_missing"),
        (401, "unauthorized"),
        (404, "unknown_provider"),
        (422, "invalid"),
    ],
)
async def test_a_refusal_is_final(refpay: Refpay, token_file: Path, status: int, code: str) -> None:
    """A definitive no is not asked again, and is told with its code."""
    refpay.script = [(status, {"code": code, "detail": "because"})]
    with pytest.raises(LeverRefused, match=f"status {status} {code} because"):
        await http_levers(refpay.url, token_file)["provider.drain"](call())
    assert len(refpay.seen) == 1


async def test_a_refusal_after_a_lost_answer_is_not_believed(refpay: Refpay, token_file: Path) -> None:
    """The first attempt may have drained: the effect is unknown, so that it will be undone."""
    refpay.script = [DROP, (409, {"code": "last_active_provider"})]
    with pytest.raises(LeverUnanswered, match="last_active_provider"):
        await http_levers(refpay.url, token_file)["provider.drain"](call())


async def test_retries_are_counted(refpay: Refpay, token_file: Path) -> None:
    """A service that stays in trouble is left after a few attempts."""
    refpay.script = [(503, {"code": "database_unavailable"})]
    with pytest.raises(LeverUnanswered, match="status 503 database_unavailable"):
        await http_levers(refpay.url, token_file)["provider.drain"](call())
    assert len(refpay.seen) == MAX_ATTEMPTS


async def test_all_attempts_share_one_time_limit(refpay: Refpay, token_file: Path) -> None:
    """A service that never answers holds the lever no longer than the call says."""
    refpay.script = [(-1, {})]
    async with asyncio.timeout(5):
        with pytest.raises(LeverUnanswered, match="time is up"):
            await http_levers(refpay.url, token_file)["provider.drain"](call(seconds=0.1))


async def test_an_endless_answer_is_not_read(refpay: Refpay, token_file: Path) -> None:
    """The body is bounded."""
    refpay.script = [(200, b" " * (MAX_ANSWER_BYTES + 1))]
    with pytest.raises(LeverUnanswered, match="more than 65536 bytes"):
        await http_levers(refpay.url, token_file)["provider.drain"](call())


@pytest.mark.parametrize("arguments", [("../north",), ("north", "south"), ("North",), ("a/b",), ("a" * 65,)])
async def test_odd_arguments_never_reach_the_service(
    refpay: Refpay, token_file: Path, arguments: tuple[str, ...]
) -> None:
    """An argument is a plain name, and there are as many as the operation takes."""
    with pytest.raises(LeverRefused, match="takes 1 argument"):
        await http_levers(refpay.url, token_file)["provider.drain"](call("provider.drain", *arguments))
    assert not refpay.seen


async def test_a_rotated_token_is_used_at_the_next_pull(refpay: Refpay, token_file: Path) -> None:
    """The file is read each time."""
    drain = http_levers(refpay.url, token_file)["provider.drain"]
    await drain(call())
    token_file.write_text("another-token", encoding="ascii")
    await drain(call())
    assert [seen[1] for seen in refpay.seen] == [f"Bearer {TOKEN}", "Bearer another-token"]


@pytest.mark.parametrize("content", ["", "two words", "line\nline", "x" * 5000, "\xff"])
async def test_a_file_that_holds_no_token_is_refused(refpay: Refpay, token_file: Path, content: str) -> None:
    """The sentence names the file, never what is in it; nothing is sent."""
    token_file.write_text(content, encoding="latin-1")
    with pytest.raises(LeverRefused, match="ops_token") as refused:
        await http_levers(refpay.url, token_file)["provider.drain"](call())
    assert not content or content[:9] not in str(refused.value)
    assert not refpay.seen


async def test_a_missing_token_file_is_one_sentence(refpay: Refpay, tmp_path: Path) -> None:
    """What to do stands beside it."""
    with pytest.raises(LeverRefused, match="operations:route"):
        await http_levers(refpay.url, tmp_path / "nothing")["provider.drain"](call())


async def test_the_token_is_in_no_error(refpay: Refpay, token_file: Path) -> None:
    """Refused or unanswered, the words hold no secret."""
    for script in ([(403, {"code": "scope_missing"})], [DROP]):
        refpay.script, refpay.seen = list(script), []
        with pytest.raises((LeverRefused, LeverUnanswered)) as failed:
            await http_levers(refpay.url, token_file)["provider.drain"](call())
        assert TOKEN not in str(failed.value)
        assert TOKEN not in repr(failed.value.__cause__)


async def test_a_redirect_is_not_followed(refpay: Refpay, token_file: Path) -> None:
    """The token goes to the address that was given and nowhere else."""
    refpay.script = [(307, {})]
    with pytest.raises(LeverRefused, match="status 307"):
        await http_levers(refpay.url, token_file)["provider.drain"](call())
    assert len(refpay.seen) == 1
