"""The canary of a target is judged by its file, and one that fails before the fault proves no fault."""

import copy
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.test_utils import TestServer
from tests.target.drilled import NOWHERE, drilled_exchange
from tests.target.stranger import DOCUMENT, KEY, Wallet

from moneypath.drills import timetable
from moneypath.drills.canary import CanaryProbeResult
from moneypath.drills.scenario import EffectiveWhen
from moneypath.drills.target_canary import BATCH_SIZE, TargetCanary
from moneypath.drills.timeline_entry import ANY_FAILURE, NO_ANSWER, TimelineEntry
from moneypath.drills.timetable import play
from moneypath.incidents.events import EventLog
from moneypath.incidents.timeline import Kind

NOT_DONE = frozenset({202, 502, 503, 504})


@pytest.fixture
def wallet() -> Wallet:
    """Return a wallet that is well."""
    return Wallet()


@pytest.fixture
async def url(wallet: Wallet) -> AsyncIterator[str]:
    """Serve the wallet."""
    async with TestServer(wallet.application()) as server:
        yield str(server.make_url("")).rstrip("/")


def canary_with(**auth: str) -> dict[str, Any]:
    """Return the wallet's canary with other words of its `auth`."""
    call = copy.deepcopy(DOCUMENT["canary"]["call"])
    call["request"]["auth"] |= auth
    return {"call": call}


async def test_a_good_canary_shows_no_fault(tmp_path: Path, url: str, wallet: Wallet) -> None:
    """Several are sent at once, each with a reference of its own."""
    results = await TargetCanary(drilled_exchange(tmp_path, url)).batch()
    assert [(one.status, one.sent, one.good) for one in results] == [(200, True, True)] * BATCH_SIZE
    assert not any(one.shows(ANY_FAILURE) for one in results)
    assert wallet.synthetic == BATCH_SIZE


@pytest.mark.parametrize(("lie", "status"), [("broken", 502), ("parked", 200)])
async def test_what_the_file_does_not_call_good_shows_any_failure(
    tmp_path: Path, url: str, wallet: Wallet, lie: str, status: int
) -> None:
    """Also behind the status of a success: many services answer 200 to everything."""
    wallet.lies = {lie}
    results = await TargetCanary(drilled_exchange(tmp_path, url)).batch()
    assert {(one.status, one.sent, one.good) for one in results} == {(status, True, False)}
    assert all(one.shows(ANY_FAILURE) for one in results)
    # A provider that refuses shows by certain statuses, and a success is none of them.
    assert {one.shows(NOT_DONE) for one in results} == {status == 502}


async def test_what_a_canary_lacks_itself_shows_nothing(tmp_path: Path, url: str) -> None:
    """A secret that others may read, or a key that is refused, is no fault of the service."""
    exchange = drilled_exchange(tmp_path, url)
    (tmp_path / "wallet_key").chmod(0o644)
    results = await TargetCanary(exchange).batch()
    assert {(one.status, one.sent) for one in results} == {(NO_ANSWER, False)}
    assert not any(one.shows(ANY_FAILURE) for one in results)
    refused = TargetCanary(drilled_exchange(tmp_path, url, canary=canary_with(name="X-Other")))
    results = await refused.batch()
    assert {(one.status, one.sent, one.shows(ANY_FAILURE)) for one in results} == {(401, True, False)}
    nobody = TargetCanary(drilled_exchange(tmp_path, url, canary=None))
    assert {one.sent for one in await nobody.batch()} == {False}


async def test_no_answer_at_all_shows_any_failure(tmp_path: Path) -> None:
    """Nobody listens; a command that fails is no answer either, and one that ends well is one."""
    results = await TargetCanary(drilled_exchange(tmp_path, NOWHERE)).batch()
    assert {(one.status, one.good) for one in results} == {(NO_ANSWER, False)}
    assert all(one.shows(ANY_FAILURE) for one in results)
    for word, seen in (("false", (NO_ANSWER, False)), ("true", (200, True))):
        canary = {"call": {"command": [word]}}
        results = await TargetCanary(drilled_exchange(tmp_path, NOWHERE, canary=canary)).batch()
        assert {(one.status, one.good) for one in results} == {seen}


def test_a_canary_without_a_file_is_judged_by_its_status_alone() -> None:
    """The success of a stack whose answers we know is one, and 202 is an outcome that is not known."""
    assert not CanaryProbeResult(201, 0.0).shows(ANY_FAILURE)
    assert CanaryProbeResult(202, 0.0).shows(ANY_FAILURE)
    assert CanaryProbeResult(502, 0.0).shows(ANY_FAILURE)
    assert not CanaryProbeResult(201, 0.0, good=True).shows(ANY_FAILURE)


class Drill:
    """What playing a timeline needs of a drill: canaries, one fault that may bite, a log."""

    def __init__(self, folder: Path, canary: TargetCanary, when: EffectiveWhen) -> None:
        step = TimelineEntry.model_validate({"at": "0s", "id": "brown", "fault": "bank.brownout"})
        self.scenario = SimpleNamespace(
            timeline=(step,), opening=(step,), effects=step.effects, effective_when=when
        )
        self.canary, self.log, self.leases = canary, EventLog(folder / "events.jsonl"), self
        self.customers_log_file, self.bites, self.hit = None, set[str](), 0
        self.wallet = Wallet()
        self.begun: list[str] = []

    async def begin(self, step: TimelineEntry) -> None:
        """Begin the fault, which does what a test says."""
        self.begun.append(str(step.fault))
        self.wallet.lies |= self.bites

    async def hits(self) -> int:
        """Return what the target says that the fault hit."""
        return self.hit

    @property
    def kinds(self) -> list[str]:
        """Return the kinds of what is in the log."""
        return [event.kind for event in self.log.events]

    @property
    def reason(self) -> str:
        """Return why the fault is not known to work."""
        return str(self.log.events[-1].payload["reason"])


@pytest.fixture
def drill(tmp_path: Path, url: str, wallet: Wallet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drill]:
    """Return a drill on the wallet that waits for nothing."""
    monkeypatch.setattr(timetable, "EFFECT_SECONDS", 0.0)
    drill = Drill(tmp_path, TargetCanary(drilled_exchange(tmp_path, url)), EffectiveWhen.CANARY_HARMED)
    drill.wallet = wallet
    yield drill
    drill.log.close()


async def test_a_fault_that_harms_the_canary_takes_effect(drill: Drill) -> None:
    """It was well before, and is not any more."""
    drill.bites = {"broken"}
    assert await play(cast(Any, drill))
    assert drill.kinds == [Kind.FAULT_COMMANDED, Kind.FAULT_EFFECTIVE]
    assert drill.log.events[-1].payload["status"] == 502


async def test_a_fault_that_begins_and_does_nothing_has_no_effect(drill: Drill) -> None:
    """The service answered well to its begin, and goes on as before."""
    assert not await play(cast(Any, drill))
    assert drill.kinds == [Kind.FAULT_COMMANDED, Kind.FAULT_INEFFECTIVE]
    assert drill.reason == "nobody was harmed"


@pytest.mark.parametrize(
    ("lie", "said"), [("broken", "the first with 502"), ("parked", "the first with 200")]
)
async def test_a_canary_that_is_always_bad_proves_no_fault(drill: Drill, lie: str, said: str) -> None:
    """It showed the fault before that began, so nothing is begun."""
    drill.wallet.lies = {lie}
    assert not await play(cast(Any, drill))
    assert (drill.kinds, drill.begun) == ([Kind.FAULT_INEFFECTIVE], [])
    assert drill.reason == f"{BATCH_SIZE} of {BATCH_SIZE} canaries showed it before it began, {said}"


async def test_a_target_that_counts_hits_is_asked_and_no_canary(drill: Drill) -> None:
    """A fault that no single payment meets needs no canary; without a hit it has no effect."""
    drill.scenario.effective_when = EffectiveWhen.TARGET_HIT
    drill.wallet.lies = {"broken"}
    assert not await play(cast(Any, drill))
    assert drill.reason == "the fault hit nobody"
    drill.hit = 3
    assert await play(cast(Any, drill))
    assert drill.log.events[-1].payload == {"hits": 3}
    assert drill.wallet.calls == []


async def test_no_secret_of_the_canary_stands_in_the_log(drill: Drill, tmp_path: Path, url: str) -> None:
    """A service that answers with the key that it does not know."""
    drill.canary = TargetCanary(drilled_exchange(tmp_path, url, canary=canary_with(name="X-Other")))
    assert not await play(cast(Any, drill))
    assert drill.reason.endswith(f"canaries failed for reasons of their own: {BATCH_SIZE} with 401")
    assert KEY not in (tmp_path / "events.jsonl").read_text(encoding="utf-8")
