"""Leases are renewed while a drill lives, ended on every way out, and never lost in await_heartbeat."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from moneypath.drills.faults import FaultControlFailed, Leases
from moneypath.drills.scenario import load_scenario
from moneypath.drills.timeline_entry import FaultParams, TimelineEntry
from moneypath.target.exchange import Exchange
from moneypath.target.loader import load_target

PROJECT = Path(__file__).parents[2]
DRILL = PROJECT / "drills" / "drill-002-partial-provider-outage.yaml"
TOKEN = "control"


@dataclass
class Target:
    """A stub of an acquirer's fault controls that remembers what it was told."""

    begun: list[dict[str, Any]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    renewals: int = 0
    renewed: asyncio.Event = field(default_factory=asyncio.Event)
    refuse_renewal: bool = False
    held_renewal: asyncio.Event | None = None
    refuse_end: bool = False
    hits: int = 0

    async def begin(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": "unauthorized"}, status=401)
        self.begun.append(await request.json())
        return web.json_response({"id": f"f{len(self.begun)}", "expires_in_seconds": 1}, status=201)

    async def list(self, _: web.Request) -> web.Response:
        ours = [{"id": f"f{number + 1}", "hits": self.hits} for number in range(len(self.begun))]
        return web.json_response({"faults": [*ours, {"id": "another drill's", "hits": 99}]})

    async def renew(self, request: web.Request) -> web.Response:
        self.renewals += 1
        self.renewed.set()
        if self.held_renewal is not None:
            held, self.held_renewal = self.held_renewal, None
            await held.wait()
            return web.json_response({}, status=404)
        return web.json_response({}, status=404 if self.refuse_renewal else 200)

    async def end(self, request: web.Request) -> web.Response:
        if self.refuse_end:
            return web.json_response({"error": "broken"}, status=500)
        self.ended.append(request.match_info["id"])
        return web.Response(status=204)


@asynccontextmanager
async def _control(target: Target, tmp_path: Path, token: str = TOKEN) -> AsyncIterator[Exchange]:
    app = web.Application()
    app.router.add_post("/control/faults", target.begin)
    app.router.add_get("/control/faults", target.list)
    app.router.add_put("/control/faults/{id}/lease", target.renew)
    app.router.add_delete("/control/faults/{id}", target.end)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    for place in ("north", "south"):
        file = tmp_path / f"{place}_control_token"
        file.write_text(token)
        file.chmod(0o600)
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    names = ("service", "prometheus", "alertmanager", "pager", "providers_north", "providers_south")
    values = {**dict.fromkeys(names, url), "secrets_folder": str(tmp_path)}
    try:
        yield Exchange.of(load_target(PROJECT / "targets" / "reference.yaml", values))
    finally:
        await runner.cleanup()


def _steps() -> list[TimelineEntry]:
    return [step for step in load_scenario(DRILL).timeline if step.fault]


def _leases(control: Exchange, ended: list[str], lease: float = 0.3) -> Leases:
    return Leases(
        control,
        seed=7,
        lease_seconds=lease,
        on_ended=lambda name, target: ended.append(f"{name} at {target}"),
    )


async def test_a_fault_is_sent_with_its_scope_and_ended_when_the_block_ends(tmp_path: Path) -> None:
    """The target is told kind, rate, seed, lease and scope, and hears of the end without being asked."""
    target, ended = Target(), list[str]()
    async with _control(target, tmp_path) as control:
        async with _leases(control, ended) as leases:
            await leases.begin(_steps()[0])
        assert target.ended == ["f1"]
    assert ended == ["north-tells-nothing at north"]
    told = target.begun[0]
    assert (told["kind"], told["rate"], told["seed"], told["lease_seconds"]) == ("webhook_lost", 0.3, 7, 0.3)
    assert told["scope"]["card_ranges"] == ["411111"]


async def test_a_fault_ends_when_the_block_is_left_by_an_exception(tmp_path: Path) -> None:
    """An error in the drill is no reason to leave a fault behind."""
    target = Target()
    async with _control(target, tmp_path) as control:
        with pytest.raises(RuntimeError, match="drill broke"):
            async with _leases(control, []) as leases:
                for step in _steps():
                    await leases.begin(step)
                raise RuntimeError("drill broke")
        assert target.ended == ["f1", "f2", "f3"]


async def test_leases_are_renewed_while_the_drill_lives(tmp_path: Path) -> None:
    """A lease longer than its renewal interval never runs out under a living runner."""
    target = Target()
    async with _control(target, tmp_path) as control, _leases(control, []) as leases:
        await leases.begin(_steps()[0])
        async with asyncio.timeout(30):
            await target.renewed.wait()
        assert leases.lost is None


async def test_a_lost_lease_is_told_to_whoever_looks(tmp_path: Path) -> None:
    """A renewal that the target refuses shows in `lost`, which a guardrail reads."""
    target = Target(refuse_renewal=True)
    async with _control(target, tmp_path) as control, _leases(control, []) as leases:
        await leases.begin(_steps()[0])
        async with asyncio.timeout(30):
            while leases.lost is None:  # noqa: ASYNC110 - a plain attribute, set by the keeper's task
                await asyncio.sleep(0.01)
        assert "404" in leases.lost.what


async def test_a_fault_that_ends_while_it_is_renewed_loses_no_lease(tmp_path: Path) -> None:
    """The target answers 404 to a renewal that the end of its fault overtook: that is no lost lease."""
    held = asyncio.Event()
    target = Target(held_renewal=held)
    first, second = _steps()[:2]
    async with _control(target, tmp_path) as control, _leases(control, []) as leases:
        await leases.begin(first)
        async with asyncio.timeout(30):
            await target.renewed.wait()
            await leases.end([str(first.id)])
            await leases.begin(second)
            target.renewed.clear()
            held.set()
            await target.renewed.wait()
        assert leases.lost is None


async def test_an_end_that_fails_is_raised_after_all_were_tried(tmp_path: Path) -> None:
    """One target that refuses must not keep the others' faults in force."""
    target = Target()
    async with _control(target, tmp_path) as control:
        leases = _leases(control, [])
        for step in _steps():
            await leases.begin(step)
        target.refuse_end = True
        with pytest.raises(FaultControlFailed, match="500"):
            await leases.end(["north-refuses", "north-does-not-answer"])


async def test_hits_are_those_of_this_drill(tmp_path: Path) -> None:
    """What another drill's fault hit proves nothing about ours; without a fault there is nobody to ask."""
    target = Target(hits=3)
    async with _control(target, tmp_path) as control, _leases(control, []) as leases:
        assert await leases.hits() == 0
        for step in _steps():
            await leases.begin(step)
        assert await leases.hits() == 9


async def test_a_fault_tells_only_the_parameters_that_it_has(tmp_path: Path) -> None:
    """A target refuses keys that its fault does not know."""
    step = TimelineEntry.model_validate(
        {"at": "0s", "id": "wrong-lines", "fault": "provider.misstate", "target": "north"}
        | {"params": {"rate": 0.5, "what": "amount"}}
    )
    target = Target()
    async with _control(target, tmp_path) as control, _leases(control, []) as leases:
        await leases.begin(step)
    told = target.begun[0]
    assert (told["kind"], told["what"], told["scope"]) == ("misstate", "amount", {})
    assert "latency_seconds" not in told
    assert "decline_code" not in told


async def test_a_wrong_token_is_one_clear_sentence(tmp_path: Path) -> None:
    """The target's refusal names the provider and the status, and holds no token."""
    target = Target()
    async with _control(target, tmp_path, token="forged-token") as control, _leases(control, []) as leases:
        with pytest.raises(FaultControlFailed, match=r"north: POST .* answered 401") as caught:
            await leases.begin(_steps()[0])
        assert "forged-token" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"fault": "provider.explode"},
            r"reference has no fault provider\.explode; allowed: provider\.",
        ),
        ({"fault": "ledger.lose"}, r"has no fault ledger\.lose"),
        ({"target": "west"}, r"target: west; allowed: north, south"),
        ({"params": {"rate": 0.5, "colour": "red"}}, r"params\.colour: there is no such parameter; allowed"),
        ({"params": {"rate": 0.5, "operations": ["top_up"]}}, r"params\.operations: there is no top_up"),
    ],
)
async def test_a_fault_that_does_not_fit_its_target_is_not_begun(
    changed: dict[str, object], said: str, tmp_path: Path
) -> None:
    """The target's file says what there is, and the error what is allowed."""
    given = FaultParams.model_validate(changed.get("params", {"rate": 0.5}))
    target = Target()
    async with _control(target, tmp_path) as control, _leases(control, []) as leases:
        with pytest.raises(FaultControlFailed, match=said):
            await leases.begin(_steps()[1].model_copy(update={**changed, "params": given}))
    assert target.begun == []
