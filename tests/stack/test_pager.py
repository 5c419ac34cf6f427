"""The pager takes what Alertmanager publishes and nothing else, keeps it, and knows who may acknowledge."""

import asyncio
import copy
import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from moneypath.stack import secrets
from moneypath.stack.errors import StackError
from moneypath.stack.pager.app import LONGEST_BODY_BYTES, Tokens, create_app
from moneypath.stack.pager.spec import spec as pager_spec
from moneypath.stack.pager.store import PageStore
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor

Client = TestClient[Request, Application]

_WEBHOOK: dict[str, Any] = {
    "version": "4",
    "groupKey": '{}/{roles=~".*eng.*"}:{alertname="MoneyPathWatchdog"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "role-eng",
    "groupLabels": {"alertname": "MoneyPathWatchdog"},
    "commonLabels": {"alertname": "MoneyPathWatchdog", "severity": "critical"},
    "commonAnnotations": {},
    "externalURL": "http://127.0.0.1:9093",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "MoneyPathWatchdog", "severity": "critical"},
            "annotations": {"summary": "schön"},
            "startsAt": "2024-05-01T12:00:00.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://127.0.0.1:9090/graph",
            "fingerprint": "0123456789abcdef",
        }
    ],
}


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    """Mint the tokens of two roles and of the deliverer."""
    return secrets.mint(tmp_path / "secrets", ["pager_token", "role_eng_token", "role_ops_token"])


@pytest.fixture
async def client(tmp_path: Path, tokens: dict[str, str]) -> AsyncIterator[Client]:
    """Serve a pager on a real socket."""
    app = create_app(PageStore(tmp_path / "pages.jsonl"), Tokens.load(tmp_path / "secrets"))
    async with TestClient(TestServer(app)) as entered:
        assert tokens
        yield entered


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def _page(client: Client, tokens: dict[str, str], role: str = "eng") -> int:
    answer = await client.post(f"/pages/{role}", json=_WEBHOOK, headers=_bearer(tokens["pager_token"]))
    assert answer.status == 201, await answer.text()
    return int((await answer.json())["seq"])


async def test_a_page_is_kept_as_it_came(client: Client, tokens: dict[str, str]) -> None:
    """Role, labels, annotations and times are there; an end that is not set is null."""
    await _page(client, tokens)
    answer = await (await client.get("/pages")).json()
    (page,) = answer["pages"]
    assert (page["seq"], page["role"], page["status"], answer["next"]) == (1, "eng", "firing", 1)
    assert page["group_key"] == _WEBHOOK["groupKey"]
    (alert,) = page["alerts"]
    assert (alert["name"], alert["status"]) == ("MoneyPathWatchdog", "firing")
    assert (alert["starts_at"], alert["ends_at"]) == (1714564800.123456, None)
    assert alert["annotations"] == {"summary": "schön"}


_WRONG: list[tuple[str, Any]] = [
    ("version", "3"),
    ("version", 4),
    ("groupKey", ""),
    ("truncatedAlerts", "0"),
    ("truncatedAlerts", -1),
    ("status", "burning"),
    ("receiver", None),
    ("groupLabels", []),
    ("commonLabels", {"a": 1}),
    ("commonAnnotations", None),
    ("externalURL", 1),
    ("alerts", []),
    ("alerts", {}),
    ("alerts.status", "pending"),
    ("alerts.labels", None),
    ("alerts.annotations", {"a": None}),
    ("alerts.startsAt", "yesterday"),
    ("alerts.endsAt", None),
    ("alerts.generatorURL", None),
    ("alerts.fingerprint", 7),
]


@pytest.mark.parametrize(("key", "value"), _WRONG)
async def test_a_wrong_field_is_refused_and_counted(
    client: Client, tokens: dict[str, str], key: str, value: Any
) -> None:
    """Each published field is needed and has its type; the answer names the field."""
    outer, _, inner = key.partition(".")
    field = inner or outer
    for change in ("wrong", "missing"):
        webhook = copy.deepcopy(_WEBHOOK)
        place = webhook["alerts"][0] if inner else webhook
        place[field] = value
        if change == "missing":
            del place[field]
        answer = await client.post("/pages/eng", json=webhook, headers=_bearer(tokens["pager_token"]))
        assert answer.status == 400, change
        assert field in (await answer.json())["detail"]
    assert await (await client.get("/healthz")).json() == {"status": "ok", "refused": 2}
    assert (await (await client.get("/pages")).json())["pages"] == []


async def test_a_newer_alertmanager_may_say_more(client: Client, tokens: dict[str, str]) -> None:
    """A key that was published later is no reason to lose a page."""
    webhook = _WEBHOOK | {"routeLabels": {}}
    answer = await client.post("/pages/eng", json=webhook, headers=_bearer(tokens["pager_token"]))
    assert answer.status == 201


async def test_what_is_not_json_too_long_or_unknown_is_counted(
    client: Client, tokens: dict[str, str]
) -> None:
    """Every refusal has its status and its reason in the counts."""
    too_long = io.BytesIO(b" " * (LONGEST_BODY_BYTES + 1))
    right, wrong = _bearer(tokens["pager_token"]), _bearer(tokens["role_eng_token"])
    wanted = [
        (await client.post("/pages/eng", data=b"{", headers=right), 400, "invalid"),
        (await client.post("/pages/eng", data=too_long, headers=right), 413, "too_large"),
        (await client.post("/pages/cook", json=_WEBHOOK, headers=right), 404, "unknown_role"),
        (await client.post("/pages/eng", json=_WEBHOOK, headers=wrong), 401, "unauthorized"),
        (await client.post("/heartbeats", json=_WEBHOOK), 401, "unauthorized"),
        (await client.post("/heartbeats", json={}, headers=right), 400, "invalid"),
    ]
    for answer, status, error in wanted:
        assert (answer.status, (await answer.json())["error"]) == (status, error)
    stats = await (await client.get("/stats")).json()
    assert stats["refused"] == {"invalid": 2, "too_large": 1, "unknown_role": 1, "unauthorized": 2}
    assert (stats["pages"], stats["heartbeats"]) == (0, 0)


async def test_a_long_poll_wakes_with_the_page(client: Client, tokens: dict[str, str]) -> None:
    """Who waits is answered by the delivery, not by the end of the wait."""
    first = await _page(client, tokens)
    waiting = asyncio.create_task(client.get(f"/pages?after={first}&wait_seconds=30"))
    done, _ = await asyncio.wait((waiting,), timeout=0.1)
    assert not done
    await _page(client, tokens, "ops")
    async with asyncio.timeout(30):
        answer = await (await waiting).json()
    assert [page["role"] for page in answer["pages"]] == ["ops"]
    assert answer["next"] == 2


async def test_a_long_poll_without_a_page_is_empty(client: Client) -> None:
    """The wait is bounded, and the place to go on from stays."""
    answer = await (await client.get("/pages?after=7&wait_seconds=0.05")).json()
    assert answer == {"pages": [], "next": 7}


@pytest.mark.parametrize(
    "query", ["after=x", "after=-1", "wait_seconds=31", "wait_seconds=nan", "wait_seconds=-1"]
)
async def test_a_wrong_wait_is_refused(client: Client, query: str) -> None:
    """Numbers out of range are refused with what is allowed."""
    assert (await client.get(f"/pages?{query}")).status == 400


async def test_heartbeats_are_counted_apart(client: Client, tokens: dict[str, str]) -> None:
    """The watchdog is heard, and is no page."""
    assert await (await client.get("/heartbeats")).json() == {"last_at": None, "count": 0}
    await client.post("/heartbeats", json=_WEBHOOK, headers=_bearer(tokens["pager_token"]))
    answer = await (await client.get("/heartbeats")).json()
    assert answer["count"] == 1
    assert answer["last_at"] > 0
    assert (await (await client.get("/pages")).json())["pages"] == []


async def test_only_the_paged_role_acknowledges(client: Client, tokens: dict[str, str]) -> None:
    """401 without a role's token, 403 for another role, 404 for no page, 201 for the one, then 200."""
    seq = await _page(client, tokens)
    path = f"/pages/{seq}/acknowledgements"
    assert (await client.post(path)).status == 401
    assert (await client.post(path, headers=_bearer(tokens["pager_token"]))).status == 401
    assert (await client.post(path, headers=_bearer(tokens["role_ops_token"]))).status == 403
    eng = _bearer(tokens["role_eng_token"])
    for unknown in ("0", "2", "x", "9" * 30):
        assert (await client.post(f"/pages/{unknown}/acknowledgements", headers=eng)).status == 404
    first = await client.post(path, headers=eng)
    made = await first.json()
    assert first.status == 201
    assert {key: made[key] for key in ("seq", "role", "principal")} == {
        "seq": seq,
        "role": "eng",
        "principal": "role_eng",
    }
    again = await client.post(path, headers=eng)
    assert (again.status, await again.json()) == (200, made)


async def test_the_store_survives_and_drops_a_torn_line(
    client: Client, tokens: dict[str, str], tmp_path: Path
) -> None:
    """A killed pager restarts with its pages and acknowledgements; half a line was never promised."""
    seq = await _page(client, tokens)
    await client.post(f"/pages/{seq}/acknowledgements", headers=_bearer(tokens["role_eng_token"]))
    file = tmp_path / "pages.jsonl"
    with file.open("a") as writer:
        writer.write('{"page": {"se')
    store = PageStore(file)
    assert [page.role for page in store.pages] == ["eng"]
    assert store.acknowledgements[seq].role == "eng"
    store.close()
    assert file.read_text().endswith("}\n")


def test_a_broken_store_names_file_and_line(tmp_path: Path) -> None:
    """Garbage that is not a torn end is not passed over."""
    (tmp_path / "pages.jsonl").write_text("nonsense\n{}\n")
    with pytest.raises(StackError, match=r"pages\.jsonl:1: "):
        PageStore(tmp_path / "pages.jsonl")


async def test_the_process_serves_and_survives_a_kill(
    tmp_path: Path, tokens: dict[str, str], port_pool: PortPool, supervisor: Supervisor
) -> None:
    """As a server of the stack, in a path with space and umlaut."""
    port = port_pool.reserve("pager")
    folder = tmp_path / "ein schöner Pfad"
    assert tokens
    await supervisor.start(pager_spec(folder, port, secrets_folder=tmp_path / "secrets"))
    assert json.loads(supervisor.log_file("pager").read_text()) == {"event": "listening", "port": port}
    await supervisor.kill("pager")
    await supervisor.restart("pager")
    assert (folder / "pages.jsonl").exists()


async def test_missing_tokens_are_one_sentence(tmp_path: Path) -> None:
    """The process ends at once and says which file it wants."""
    arguments = ("--port", "0", "--store", str(tmp_path / "store"), "--secrets-folder", str(tmp_path))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "moneypath.stack.pager", *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()
    assert process.returncode == 1
    assert stderr.decode().startswith(f"secret unreadable: {tmp_path / 'pager_token'}")


async def test_acknowledgement_carries_the_head_of_the_log(
    client: Client, tokens: dict[str, str], tmp_path: Path
) -> None:
    """It is kept with the first acknowledgement, also after a restart; a later one changes nothing."""
    path = f"/pages/{await _page(client, tokens)}/acknowledgements"
    eng = _bearer(tokens["role_eng_token"])
    for seq, status in ((7, 201), (9, 200)):
        body = {"log_head": {"seq": seq, "hash": "a" * 64}}
        answer = await client.post(path, json=body, headers=eng)
        assert answer.status == status
        made = await answer.json()
        assert (made["log_seq"], made["log_hash"]) == (7, "a" * 64)
    store = PageStore(tmp_path / "pages.jsonl")
    store.close()
    assert store.acknowledgements[1].log_seq == 7


@pytest.mark.parametrize(
    "body",
    [
        "{",
        '{"log_head": {"seq": "1", "hash": "' + "a" * 64 + '"}}',
        '{"log_head": {"seq": 1, "hash": "short"}}',
        '{"log_head": {"seq": 1}}',
        '{"note": "free text"}',
    ],
)
async def test_acknowledgement_with_anything_else_is_refused(
    client: Client, tokens: dict[str, str], body: str
) -> None:
    """What the pager keeps for ever is of one form."""
    path = f"/pages/{await _page(client, tokens)}/acknowledgements"
    headers = {**_bearer(tokens["role_eng_token"]), "Content-Type": "application/json"}
    assert (await client.post(path, data=body, headers=headers)).status == 400
    assert (await client.post(path, headers=headers)).status == 201


def test_acknowledgement_from_before_log_heads_is_read(tmp_path: Path) -> None:
    """A pager restarts over what an earlier version wrote."""
    earlier = {"acknowledgement": {"seq": 1, "role": "eng", "principal": "role_eng", "at": 1.5}}
    (tmp_path / "pages.jsonl").write_text(json.dumps(earlier) + "\n")
    store = PageStore(tmp_path / "pages.jsonl")
    store.close()
    assert store.acknowledgements[1].log_hash is None
