"""An attack is a real process: it begins when asked, is bounded, and ends with whoever began it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from loadtests.settings import CardTestingSettings, read_card_testing_settings

from moneypath.drills.attacks import CARDS_MOST, RUN_SECONDS, Attacks
from moneypath.drills.timeline_entry import TimelineEntry
from moneypath.oracle import read_acknowledgement_log
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.errors import ServerDied
from moneypath.stack.server import ServerSpec
from moneypath.stack.supervisor import Supervisor

PROJECT = Path(__file__).parents[2]
TOKEN = "shop-token"
RANGE = "421234"


@dataclass
class Shop:
    """A stub of the payment service that declines every card, and remembers it."""

    cards: list[str] = field(default_factory=list)

    async def grant(self, request: web.Request) -> web.Response:
        return web.json_response({"access_token": TOKEN, "expires_in": 300})

    async def authorize(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        self.cards.append((await request.json())["card_token"])
        return web.json_response({"id": f"p-{len(self.cards)}", "status": "declined"}, status=201)


@asynccontextmanager
async def serving(shop: Shop) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/oauth/token", shop.grant)
    app.router.add_post("/v1/payments", shop.authorize)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def endpoints(url: str, folder: Path) -> Endpoints:
    """Return the addresses of a stack of which only the payment service is there."""
    (folder / "checkout_client").write_text("checkout:shop-secret\n")
    gone = "http://127.0.0.1:9"
    return Endpoints(
        target="reference",
        service=url, worker=gone, prometheus=gone, alertmanager=gone, pager=gone, providers={},
        oracle_dsn="", secrets_folder=folder, run_folder=folder, scale=60,
    )  # fmt: skip


def entry(per_second: int = 20, **changes: object) -> TimelineEntry:
    """Return a timeline entry that begins an attack."""
    params = {"card_ranges": [RANGE], "per_second": per_second, **changes}
    fields = {"at": "0s", "id": "card-tester", "fault": "traffic.card_testing", "params": params}
    return TimelineEntry.model_validate(fields)


@dataclass
class Told:
    """What the drill was told about ended attacks."""

    ended: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, name: str, target: str) -> None:
        self.ended.append((name, target))


def attacks(supervisor: Any, url: str, folder: Path, told: Callable[[str, str], None]) -> Attacks:
    """Return the attacks of a drill against the stub."""
    return Attacks(supervisor, PROJECT, endpoints(url, folder), folder, 1717, on_ended=told)


async def until_gone(pids: Sequence[int]) -> None:
    """Wait until no such process runs."""
    async with asyncio.timeout(20):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                while True:
                    os.kill(pid, 0)
                    await asyncio.sleep(0.02)


async def test_it_attacks_the_range_and_ends_when_told(tmp_path: Path) -> None:
    """From `begin` on cards are tried and written down, from `end` on none; twice ended is once."""
    shop, told = Shop(), Told()
    async with serving(shop) as url, Supervisor(tmp_path / "run") as supervisor:
        attack = attacks(supervisor, url, tmp_path, told)
        await attack.begin(entry())
        assert shop.cards, "begin waits for the first answer"
        pids = list(supervisor.pids().values())
        await attack.end(["another", "card-tester"])
        await attack.end(["card-tester"])
        await until_gone(pids)
        tried = len(shop.cards)
    assert told.ended == [("card-tester", "the service")]
    assert all(card.startswith(f"tok_{RANGE}_") for card in shop.cards)
    (acknowledgement_log,) = attack.acknowledgement_logs
    assert (
        len(read_acknowledgement_log(acknowledgement_log).acknowledgements) == tried == len(set(shop.cards))
    )


async def test_it_ends_with_the_drill(tmp_path: Path) -> None:
    """A drill that leaves without ending its attack leaves no attacker behind."""
    shop = Shop()
    async with serving(shop) as url:
        async with Supervisor(tmp_path / "run") as supervisor:
            await attacks(supervisor, url, tmp_path, Told()).begin(entry())
            pids = list(supervisor.pids().values())
        await until_gone(pids)
        assert len(pids) == 1


async def test_one_that_dies_is_the_drills_own_trouble(tmp_path: Path) -> None:
    """An attack that ended by itself proves nothing, so whoever watches is told."""
    async with serving(Shop()) as url, Supervisor(tmp_path / "run") as supervisor:
        await attacks(supervisor, url, tmp_path, Told()).begin(entry())
        os.kill(supervisor.pids()["attack-card-tester"], signal.SIGKILL)
        async with asyncio.timeout(20):
            with pytest.raises(ServerDied, match="attack-card-tester"):
                await supervisor.watch()


async def test_one_that_cannot_begin_says_why(tmp_path: Path) -> None:
    """A missing client is one sentence of the attack, and not a quiet drill."""
    async with serving(Shop()) as url, Supervisor(tmp_path / "run") as supervisor:
        attack = attacks(supervisor, url, tmp_path, Told())
        (tmp_path / "checkout_client").unlink()
        with pytest.raises(ServerDied, match="MONEYPATH_CHECKOUT_CLIENT_FILE"):
            await attack.begin(entry())
    assert attack.acknowledgement_logs == ()


@dataclass
class Recorder:
    """A supervisor that starts nothing, and keeps what it was asked to start."""

    specs: list[ServerSpec] = field(default_factory=list)

    async def start(self, spec: ServerSpec) -> None:
        self.specs.append(spec)


async def settings_of(per_second: int, folder: Path) -> tuple[CardTestingSettings, ServerSpec]:
    """Return what the load test reads of an attack's environment."""
    recorder = Recorder()
    await attacks(recorder, "http://127.0.0.1:9", folder, Told()).begin(entry(per_second))
    (spec,) = recorder.specs
    return read_card_testing_settings(spec.env), spec


@pytest.mark.parametrize(("per_second", "users", "most"), [(1, 5, 600), (6, 6, 3600), (100, 50, CARDS_MOST)])
async def test_whatever_a_drill_asks_is_allowed_and_bounded(
    tmp_path: Path, per_second: int, users: int, most: int
) -> None:
    """The load test accepts each rate a scenario may have; cards and seconds have an end."""
    settings, spec = await settings_of(per_second, tmp_path)
    assert settings.card_range == RANGE
    assert settings.client_file == tmp_path / "checkout_client"
    assert settings.seed == "1717"
    assert settings.acknowledgement_log_file == tmp_path / "attack-card-tester.jsonl"
    assert (settings.cards_per_second, settings.users, settings.cards_max) == (per_second, users, most)
    assert spec.command[-2:] == ("--run-time", f"{RUN_SECONDS}s")
    # A request under way may take its time before the process is killed for not ending.
    assert spec.stop_grace_seconds > settings.answer_seconds + 2
    assert not await spec.ready()


async def test_only_a_whole_entry_begins_an_attack(tmp_path: Path) -> None:
    """An entry that ends faults begins none, even when asked to."""
    end = TimelineEntry.model_validate({"at": "1m", "end": ["card-tester"]})
    with pytest.raises(ValueError, match="begins no attack"):
        await attacks(Recorder(), "http://127.0.0.1:9", tmp_path, Told()).begin(end)


@pytest.mark.parametrize("ranges", [[], [RANGE, "455555"]], ids=["none", "two"])
def test_an_attack_has_one_range(ranges: list[str]) -> None:
    """What would be attacked nowhere, or only in part, is refused."""
    with pytest.raises(ValueError, match="attacks one card range"):
        entry(card_ranges=ranges)
