"""The HTTP actions against a real server: audited, the same key in every retry, nothing secret in words."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from moneypath.runbooks import (
    ACTION_PROMISES,
    ActionCall,
    ActionRefused,
    ActionUnanswered,
    OperatorAction,
    target_actions,
)
from moneypath.runbooks.operator_actions import MAX_ATTEMPTS
from moneypath.target.exchange import ANSWER_BYTES_MAX, Exchange
from moneypath.target.loader import load_target
from moneypath.workflows.targets import known_actions

TARGET = Path(__file__).parents[2] / "targets" / "reference.yaml"
TOKEN = "operations-token-of-the-test"
SECRET = "operations-secret-of-the-test"
DROP: tuple[int, dict[str, Any]] = (0, {})
GOOD: tuple[int, dict[str, Any]] = (200, {"provider": "north", "routing_active": False, "changed": True})


@dataclass(slots=True)
class Refpay:
    """Answers the routing operations from a script; the last answer repeats. Status 0 closes without one."""

    script: list[tuple[int, Any]] = field(default_factory=lambda: [GOOD])
    seen: list[tuple[str, str, str, Any]] = field(default_factory=list)
    granted: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def grant(self, request: web.Request) -> web.Response:
        """Give a token, another one each time."""
        name, secret, _ = aiohttp.BasicAuth.decode(request.headers["Authorization"])
        self.granted.append((name, secret, str((await request.post())["scope"])))
        return web.json_response({"access_token": f"{TOKEN}-{len(self.granted)}", "expires_in": 300})

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
    app.router.add_post("/v1/oauth/token", refpay.grant)
    app.router.add_post("/v1/operations/{path:.+}", refpay.handle)
    async with TestServer(app) as server:
        refpay.url = str(server.make_url("/"))
        yield refpay
        refpay.released.set()


@pytest.fixture
def client_file(tmp_path: Path) -> Path:
    """A file that holds a client and a line end."""
    file = tmp_path / "operations_client"
    file.write_text(f"operations:{SECRET}\n", encoding="ascii")
    file.chmod(0o600)
    return file


def operator_actions_at(url: str, client_file: Path) -> dict[str, OperatorAction]:
    """Return the actions that the reference's file tells, of a service at `url`."""
    names = ("prometheus", "alertmanager", "pager", "providers_north", "providers_south")
    nowhere = dict.fromkeys(names, "http://127.0.0.1:1")
    given = {"service": url.rstrip("/"), "secrets_folder": str(client_file.parent), **nowhere}
    return target_actions(Exchange.of(load_target(TARGET, given)))


def call(name: str = "provider.drain", *arguments: str, seconds: float = 5.0) -> ActionCall:
    """Return one run_action for north unless told otherwise."""
    return ActionCall(name, arguments or ("north",), "key-1", "incident inc-1: step 3 drain", seconds)


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        ("provider.drain", "north", "providers/north/drain route"),
        ("provider.restore", "north", "providers/north/restore route"),
        ("dead-letters.replay", "compliance_log", "dead-letters/compliance_log/replay replay"),
        ("risk.block", "411111", "risk/ranges/411111/block risk"),
        ("risk.block", "busiest", "risk/ranges/busiest/block risk"),
        ("risk.unblock", "busiest", "risk/ranges/busiest/unblock risk"),
        ("duplicates.refund", "north", "duplicates/north/refund repair"),
        ("settlement.refetch", "south", "settlements/south/refetch route"),
    ],
)
async def test_an_action_posts_its_operation(
    refpay: Refpay, client_file: Path, name: str, argument: str, expected: str
) -> None:
    """Path, bearer token, key and reason are those of the call; the token has the action's scope alone."""
    answer = await operator_actions_at(refpay.url, client_file)[name](call(name, argument))
    assert answer == GOOD[1]
    path, authorization, key, body = refpay.seen[0]
    place, scope = expected.split()
    assert path == f"/v1/operations/{place}"
    assert refpay.granted == [("operations", SECRET, f"operations:{scope}")]
    assert authorization == f"Bearer {TOKEN}-1"
    assert key == "key-1"
    assert body == {"reason": "incident inc-1: step 3 drain"}


async def test_the_replay_action_asks_until_the_worker_has_done_it(refpay: Refpay, client_file: Path) -> None:
    """202 says that it is written down; the same key hears of the end."""
    done = {"queue": "compliance_log", "state": "done", "found": 2}
    refpay.script = [(202, {"state": "requested"}), (202, {"state": "running"}), (200, done)]
    action = operator_actions_at(refpay.url, client_file)["dead-letters.replay"]
    assert await action(call("dead-letters.replay", "compliance_log")) == done
    assert {(path, key) for path, _, key, _ in refpay.seen} == {
        ("/v1/operations/dead-letters/compliance_log/replay", "key-1")
    }


def test_every_action_of_the_reference_promises_something(client_file: Path) -> None:
    """No operator action without a promise, and no promise of an action that nobody can run."""
    known = set(operator_actions_at("http://127.0.0.1:1", client_file))
    assert known == set(ACTION_PROMISES) == known_actions(TARGET.parents[1])


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
    refpay: Refpay, client_file: Path, first: tuple[int, Any]
) -> None:
    """The service sees one key twice, so there is one effect."""
    refpay.script = [first, GOOD]
    answer = await operator_actions_at(refpay.url, client_file)["provider.drain"](call())
    assert answer["changed"] is True
    assert [key for _, _, key, _ in refpay.seen] == ["key-1", "key-1"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (409, "last_active_provider"),
        (409, "idempotency_key_reused"),
        (403, "scope_missing"),
        (404, "unknown_provider"),
        (422, "invalid"),
    ],
)
async def test_a_refusal_is_final(refpay: Refpay, client_file: Path, status: int, code: str) -> None:
    """A definitive no is not asked again, and is told with its code."""
    refpay.script = [(status, {"code": code, "detail": "because"})]
    with pytest.raises(ActionRefused, match=f"status {status} {code} because"):
        await operator_actions_at(refpay.url, client_file)["provider.drain"](call())
    assert len(refpay.seen) == 1


async def test_a_refusal_after_a_lost_answer_is_not_believed(refpay: Refpay, client_file: Path) -> None:
    """The first attempt may have drained: the effect is unknown, so that it will be undone."""
    refpay.script = [DROP, (409, {"code": "last_active_provider"})]
    with pytest.raises(ActionUnanswered, match="last_active_provider"):
        await operator_actions_at(refpay.url, client_file)["provider.drain"](call())


async def test_retries_are_counted(refpay: Refpay, client_file: Path) -> None:
    """A service that stays in trouble is left after a few attempts."""
    refpay.script = [(503, {"code": "database_unavailable"})]
    with pytest.raises(ActionUnanswered, match="status 503 database_unavailable"):
        await operator_actions_at(refpay.url, client_file)["provider.drain"](call())
    assert len(refpay.seen) == MAX_ATTEMPTS


async def test_all_attempts_share_one_time_limit(refpay: Refpay, client_file: Path) -> None:
    """A service that never answers holds the operator action no longer than the call says."""
    refpay.script = [(-1, {})]
    async with asyncio.timeout(30):
        with pytest.raises(ActionUnanswered, match="time is up"):
            await operator_actions_at(refpay.url, client_file)["provider.drain"](call(seconds=0.1))


async def test_an_endless_answer_is_not_read(refpay: Refpay, client_file: Path) -> None:
    """The body is bounded."""
    refpay.script = [(200, b" " * (ANSWER_BYTES_MAX + 1))]
    with pytest.raises(ActionUnanswered, match="more than 1048576 bytes"):
        await operator_actions_at(refpay.url, client_file)["provider.drain"](call())


@pytest.mark.parametrize("arguments", [("../north",), ("north", "south"), ("North",), ("a/b",), ("a" * 65,)])
async def test_odd_arguments_never_reach_the_service(
    refpay: Refpay, client_file: Path, arguments: tuple[str, ...]
) -> None:
    """An argument is a plain name, and there are as many as the operation takes."""
    with pytest.raises(ActionRefused, match="takes 1 argument"):
        await operator_actions_at(refpay.url, client_file)["provider.drain"](
            call("provider.drain", *arguments)
        )
    assert not refpay.seen


async def test_one_token_serves_many_pulls(refpay: Refpay, client_file: Path) -> None:
    """It is fetched once for each scope."""
    actions = operator_actions_at(refpay.url, client_file)
    for name in ("provider.drain", "provider.restore", "provider.drain"):
        await actions[name](call(name))
    assert len(refpay.granted) == 1


async def test_a_refused_token_is_renewed_once(refpay: Refpay, client_file: Path) -> None:
    """A retired key costs one request more; a second refusal is final, and certainly without an effect."""
    refused = (401, {"code": "credential_refused"})
    refpay.script = [refused, GOOD, refused]
    drain = operator_actions_at(refpay.url, client_file)["provider.drain"]
    assert await drain(call()) == GOOD[1]
    assert [seen[1] for seen in refpay.seen] == [f"Bearer {TOKEN}-1", f"Bearer {TOKEN}-2"]
    with pytest.raises(ActionRefused, match="credential_refused"):
        await drain(call())
    assert len(refpay.seen) == 4


async def test_what_awaits_an_approval_is_asked_for_until_it_is_approved(
    refpay: Refpay, client_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More often than any trouble is retried, with one key."""
    monkeypatch.setattr("moneypath.runbooks.operator_actions._APPROVAL_PAUSE_SECONDS", 0.01)
    awaiting = (202, {"awaits": "approval", "approval_id": "a-1", "changed": False})
    refpay.script = [*[awaiting] * (2 * MAX_ATTEMPTS), GOOD]
    action = operator_actions_at(refpay.url, client_file)["duplicates.refund"]
    assert await action(call("duplicates.refund")) == GOOD[1]
    assert {key for _, _, key, _ in refpay.seen} == {"key-1"}


async def test_what_nobody_approves_has_had_no_effect(refpay: Refpay, client_file: Path) -> None:
    """The time is up: refused, with what the second person needs."""
    refpay.script = [(202, {"awaits": "approval", "approval_id": "a-1", "changed": False})]
    action = operator_actions_at(refpay.url, client_file)["duplicates.refund"]
    with pytest.raises(ActionRefused, match=r"not approved.*approval a-1 is pending") as refused:
        await action(call("duplicates.refund", seconds=0.2))
    assert "another person" in refused.value.hint


async def test_an_approval_after_a_lost_answer_is_not_certain(refpay: Refpay, client_file: Path) -> None:
    """The first attempt may have moved money."""
    refpay.script = [DROP, (202, {"awaits": "approval", "approval_id": "a-1"})]
    action = operator_actions_at(refpay.url, client_file)["duplicates.refund"]
    with pytest.raises(ActionUnanswered):
        await action(call("duplicates.refund", seconds=0.4))


@pytest.mark.parametrize(
    "content", ["", "two words", "only-name:", ":secret", "line:x\nline:y", "x" * 5000, "\xff"]
)
async def test_a_file_that_holds_no_client_is_refused(
    refpay: Refpay, client_file: Path, content: str
) -> None:
    """The sentence names the file, never what is in it; nothing is sent."""
    client_file.write_text(content, encoding="latin-1")
    with pytest.raises(ActionRefused, match="operations_client") as refused:
        await operator_actions_at(refpay.url, client_file)["provider.drain"](call())
    assert not content or content[:9] not in refused.value.what
    assert not refpay.seen


async def test_a_missing_client_file_is_one_sentence(refpay: Refpay, tmp_path: Path) -> None:
    """What to do stands beside it."""
    with pytest.raises(ActionRefused, match="name:secret"):
        await operator_actions_at(refpay.url, tmp_path / "nothing" / "operations_client")["provider.drain"](
            call()
        )


async def test_the_token_is_in_no_error(refpay: Refpay, client_file: Path) -> None:
    """Refused or unanswered, the words hold no secret."""
    for script in ([(403, {"code": "scope_missing"})], [DROP]):
        refpay.script, refpay.seen = list(script), []
        with pytest.raises((ActionRefused, ActionUnanswered)) as failed:
            await operator_actions_at(refpay.url, client_file)["provider.drain"](call())
        for secret in (TOKEN, SECRET):
            assert secret not in str(failed.value)
            assert secret not in repr(failed.value.__cause__)


async def test_a_redirect_is_not_followed(refpay: Refpay, client_file: Path) -> None:
    """The token goes to the address that was given and nowhere else."""
    refpay.script = [(307, {})]
    with pytest.raises(ActionRefused, match="status 307"):
        await operator_actions_at(refpay.url, client_file)["provider.drain"](call())
    assert len(refpay.seen) == 1
