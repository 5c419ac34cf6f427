"""A drill's second person approves what the runbook asks for and nothing else, whatever trouble there is."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from moneypath.drills import approver
from moneypath.drills.context import DrillContext
from moneypath.incidents.events import Actor
from moneypath.incidents.timeline import Kind
from moneypath.target.exchange import Exchange
from moneypath.target.loader import load_target

REFUND = {"approval_id": "a/1", "action": "duplicates.refund", "subject_id": "north", "secret": "x"}
OTHER = {"approval_id": "a-2", "action": "payouts.release", "subject_id": "shop"}
ACTOR = Actor("compliance", "compliance")


@dataclass(slots=True)
class Desk:
    """Lists what awaits an approval; the first answers are trouble."""

    trouble: list[int] = field(default_factory=list)
    pending: list[Any] = field(default_factory=lambda: [OTHER, REFUND, "no item"])
    approved: list[tuple[str, str, Any]] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    listed: int = 0

    async def list(self, _: web.Request) -> web.Response:
        """Answer with trouble first."""
        self.listed += 1
        if self.listed > len(self.trouble) + 2:
            self.done.set()
        if self.listed <= len(self.trouble):
            return web.Response(status=self.trouble[self.listed - 1], text="not now")
        return web.json_response({"waiting": {"items": self.pending}})

    async def approve(self, request: web.Request) -> web.Response:
        """Take it off the list."""
        key, name = request.headers["Idempotency-Key"], request.match_info["id"]
        self.approved.append((name, key, await request.json()))
        self.pending = [one for one in self.pending if one is not REFUND]
        return web.json_response({})


@pytest.fixture
async def desk() -> AsyncIterator[tuple[Desk, str]]:
    """Serve the desk."""
    desk = Desk()
    app = web.Application()
    app.add_routes([web.get("/waiting", desk.list), web.post("/waiting/{id}/yes", desk.approve)])
    async with TestServer(app) as server:
        yield desk, str(server.make_url("")).rstrip("/")


def _context(folder: Path, url: str, *, approvals: bool = True) -> DrillContext:
    document: dict[str, Any] = {
        "target": "desk",
        "environment": "test",
        "look": {"prometheus": {"url": "http://127.0.0.1:1"}},
    }
    if approvals:
        yes = {"method": "POST", "url": url + "/waiting/{approval_id}/yes", "json": {"why": "{reason}"}}
        yes["headers"] = {"Idempotency-Key": "{idempotency_key}"}
        pending = {"request": {"url": f"{url}/waiting"}}
        document["approvals"] = {"pending": pending, "items": "waiting.items", "approve": {"request": yes}}
    file = folder / "desk.yaml"
    file.write_text(yaml.safe_dump(json.loads(json.dumps(document))))
    logged: list[Any] = []
    steps = [
        SimpleNamespace(instruction=("duplicates.refund",), is_action=True),
        SimpleNamespace(instruction=("payouts.release",), is_action=False),
    ]
    return cast(
        "DrillContext",
        SimpleNamespace(
            exchange=Exchange.of(load_target(file)),
            runbook=SimpleNamespace(steps=steps),
            scenario=SimpleNamespace(title="Double charge"),
            log=SimpleNamespace(
                append=lambda *given, **more: logged.append((*given, more["actor"])), logged=logged
            ),
        ),
    )


@pytest.mark.parametrize("trouble", [[], [500, 401, 503]])
async def test_only_what_the_runbook_asks_for_is_approved(
    desk: tuple[Desk, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: list[int]
) -> None:
    """Once, with a key and a reason, and told in the log without what the service says besides."""
    monkeypatch.setattr(approver, "POLL_SECONDS", 0.01)
    service, url = desk
    service.trouble = trouble
    context = _context(tmp_path, url)
    approving = asyncio.create_task(approver.approve(context, ACTOR))
    await asyncio.wait_for(service.done.wait(), 20)
    approving.cancel()
    await asyncio.gather(approving, return_exceptions=True)
    ((name, key, body),) = service.approved
    assert (name, body["why"][:21]) == ("a/1", "drill Double charge: ")
    assert len(key) > 10
    told = {key: value for key, value in REFUND.items() if key != "secret"}
    assert cast("Any", context.log).logged == [(Kind.APPROVED, "duplicates.refund", told, ACTOR)]


async def test_without_approvals_in_the_target_nobody_approves(tmp_path: Path) -> None:
    """It returns, and the score finds that nobody approved."""
    context = _context(tmp_path, "http://127.0.0.1:1", approvals=False)
    await asyncio.wait_for(approver.approve(context, ACTOR), 20)
