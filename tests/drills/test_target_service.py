"""A drill on a target breaks it by the file's calls, and records what its witnesses and its load say."""

import copy
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from aiohttp.test_utils import TestServer
from tests.target.drilled import LOOK, NOWHERE, PAUSED, drilled_exchange
from tests.target.stranger import DOCUMENT, KEY, Wallet, write_witnesses

from moneypath.drills.actions_taken import ActionsTaken
from moneypath.drills.faults import FaultControlFailed, Leases
from moneypath.drills.metric_comparison import UNCOMPARED
from moneypath.drills.runbook_criteria import PROMISES_AS
from moneypath.drills.service import DrilledService, Driven
from moneypath.drills.target_pager import TargetPager
from moneypath.drills.target_service import ANSWERS, NoTraffic, TargetService
from moneypath.drills.target_witnesses import TargetWitnesses
from moneypath.drills.timeline_entry import TimelineEntry
from moneypath.incidents.events import EventLog
from moneypath.incidents.timeline import Kind
from moneypath.prometheus import Prometheus
from moneypath.runbooks import ActionCall, ActionRefused, target_actions
from moneypath.witnesses.errors import WitnessInvalid

from .story import Story


def service_of(folder: Path, wallet: str = NOWHERE, **changes: Any) -> TargetService:
    """Return the wallet as a drill has it, whose witnesses wait for nothing."""
    exchange = drilled_exchange(folder, wallet, **changes)
    return TargetService(exchange, Prometheus(NOWHERE), TargetWitnesses(exchange.target, drain_seconds=0.0))


class Drill:
    """What recording the witnesses needs of a drill in which no action was taken."""

    def __init__(self, folder: Path) -> None:
        self.scenario, self.folder = Story().scenario, folder
        self.log, self.actions_taken = EventLog(folder / "events.jsonl"), ActionsTaken()
        self.exchange = drilled_exchange(folder)

    def answered(self, lines: int) -> None:
        """Let the load write answers."""
        (self.folder / ANSWERS).write_text('{"n": 1}\n' * lines)

    async def record(self, service: TargetService, planned: int = 100) -> dict[str, Any]:
        """Return what is recorded of the money of a drill that began a moment ago."""
        await service.begin()
        await service.record_witnesses(cast(Any, self), Driven(time.time() - 120, planned))
        assert self.log.events[-1].kind == Kind.LEDGER_TRUTH
        return dict(self.log.events[-1].payload)


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    """Return a drill whose load asked enough."""
    drill = Drill(tmp_path)
    drill.answered(100)
    yield drill
    drill.log.close()


def test_the_first_event_says_what_the_target_promises_and_lacks(tmp_path: Path) -> None:
    """Its name, its environment, its promises, and that nobody compares its metrics."""
    listed = service_of(tmp_path).listed()
    assert (listed["target"], listed["environment"]) == ("wallet", "staging")
    assert listed[UNCOMPARED] == "the target has no witness of its metrics"
    promises = cast(dict[str, dict[str, object]], listed[PROMISES_AS])
    assert set(promises) == {"bank.off"}
    assert promises["bank.off"]["title"] == PAUSED["title"].replace("{bank}", "{}")
    assert promises["bank.off"]["until"] == "bank.on"
    assert json.loads(json.dumps(listed)) == listed


def test_a_heartbeat_is_asked_for_where_the_file_says_where(tmp_path: Path) -> None:
    """Without it the steady state does not wait for one."""
    assert service_of(tmp_path).beats
    assert not service_of(tmp_path, look=LOOK | {"heartbeat": None}).beats


async def test_the_parts_of_the_service_are_those_of_the_file(tmp_path: Path) -> None:
    """The load at the drill's rate, the pager, the canary; of customers nothing is read in our own form."""
    service, scenario = service_of(tmp_path), Story().scenario
    load = service.load(scenario, tmp_path)
    assert load is not None
    assert load.command[-2:] == (
        str(scenario.load.checkouts_per_second),
        str((tmp_path / ANSWERS).absolute()),
    )
    as_any: DrilledService = service
    assert as_any.customers_log(tmp_path) is None
    async with service.pager() as pager, service.canary(scenario, tmp_path) as canary:
        assert isinstance(pager, TargetPager)
        assert canary.exchange is service.exchange
    live = service_of(tmp_path, load={"live": True})
    assert live.load(scenario, tmp_path) is None


async def test_traffic_of_the_stack_is_no_fault_of_a_target(tmp_path: Path) -> None:
    """It is refused with what to do, and its end is nothing."""
    step = TimelineEntry.model_validate(
        {
            "at": "0s",
            "id": "a",
            "fault": "traffic.card_testing",
            "params": {"card_ranges": ["411111"], "per_second": 1},
        }
    )
    with pytest.raises(
        FaultControlFailed, match=r"traffic\.card_testing is a fault of the reference stack alone"
    ):
        await NoTraffic().begin(step)
    await NoTraffic().end(["a"])
    assert NoTraffic().acknowledgement_logs == ()


async def test_money_that_is_whole_is_recorded_with_what_was_compared(tmp_path: Path, drill: Drill) -> None:
    """A drained load and a ledger's truth."""
    write_witnesses(tmp_path)
    truth = await drill.record(service_of(tmp_path))
    assert (truth["whole"], truth["discrepancies"], truth["discrepancy_count"]) == (True, [], 0)
    assert truth["summary"] == "wallet: rows 1 rows, bank 1 rows, told 1 rows"
    assert truth["totals"] == [["capture", "EUR", 100, 100, 100]]
    assert [event.kind for event in drill.log.events] == [Kind.LOAD_DRAINED, Kind.LEDGER_TRUTH]


async def test_money_that_is_not_whole_is_recorded_with_its_reasons(tmp_path: Path, drill: Drill) -> None:
    """The bank moved another amount."""
    write_witnesses(tmp_path, booked=101)
    truth = await drill.record(service_of(tmp_path))
    assert truth["whole"] is False
    assert truth["discrepancy_count"] == len(truth["discrepancies"]) > 0


@pytest.mark.parametrize("lines", [0, 1, 49])
async def test_a_load_that_hardly_asked_proves_no_money(tmp_path: Path, drill: Drill, lines: int) -> None:
    """Whatever the witnesses say of the little that there was."""
    write_witnesses(tmp_path)
    drill.answered(lines)
    truth = await drill.record(service_of(tmp_path))
    assert truth["whole"] is False
    assert truth["discrepancies"] == [
        f"the load: {lines} lines of answers, 100 were planned, needed: at least 50"
    ]


async def test_without_witnesses_the_money_is_recorded_as_not_known(tmp_path: Path, drill: Drill) -> None:
    """Unless the load was none: then it is known that nothing was proven."""
    bare = service_of(tmp_path, witnesses=None)
    assert await drill.record(bare) == {"whole": "unknown", "discrepancies": ["the target has no witnesses"]}
    drill.answered(3)
    assert (await drill.record(bare))["whole"] is False


async def test_a_wrong_file_of_witnesses_is_refused_before_anything_is_broken(tmp_path: Path) -> None:
    """At the begin of the drill, and not when an hour is over."""
    write_witnesses(tmp_path)
    document = yaml.safe_load((tmp_path / "witnesses.yaml").read_text())
    document["witnesses"][0]["file"] = "{nowhere}/rows.jsonl"
    (tmp_path / "witnesses.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(WitnessInvalid, match="there is no value for nowhere"):
        await service_of(tmp_path).begin()


@pytest.fixture
def wallet() -> Wallet:
    """Return a wallet."""
    return Wallet()


@pytest.fixture
async def url(wallet: Wallet) -> AsyncIterator[str]:
    """Serve the wallet."""
    async with TestServer(wallet.application()) as server:
        yield str(server.make_url("")).rstrip("/")


STEP = TimelineEntry.model_validate(
    {"at": "0s", "id": "brown", "fault": "bank.brownout", "target": "bank-one", "params": {"share": 0.25}}
)


async def test_a_fault_of_the_file_begins_counts_and_ends(tmp_path: Path, url: str, wallet: Wallet) -> None:
    """By its own words, under a lease, and however the drill ends."""
    ended: list[str] = []
    leases = Leases(
        drilled_exchange(tmp_path, url), seed=1, lease_seconds=30,
        on_ended=lambda name, place: ended.append(f"{name} at {place}"),
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="drill broke"):
        async with leases:
            await leases.begin(STEP)
            assert len(wallet.brownouts) == 1
            assert await leases.hits() == 3
            raise RuntimeError("drill broke")
    assert (wallet.brownouts, ended) == ({}, ["brown at bank-one"])


@pytest.mark.parametrize("count", ["three", True, None, float("nan"), 10**400])
async def test_hits_that_are_no_number_are_none(tmp_path: Path, url: str, wallet: Wallet, count: Any) -> None:
    """A target that says nothing of its fault has hit nobody, as far as anybody knows."""
    leases = Leases(drilled_exchange(tmp_path, url), seed=1, lease_seconds=30, on_ended=lambda *_: None)
    async with leases:
        await leases.begin(STEP)
        wallet.brownouts = {name: (until, count) for name, (until, _) in wallet.brownouts.items()}
        assert await leases.hits() == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fault": "bank.blackout"}, r"wallet has no fault bank\.blackout; allowed: bank\.brownout\."),
        ({"fault": "shop.brownout"}, r"wallet has no fault shop\.brownout"),
        ({"target": "bank-two"}, "target: bank-two; allowed: bank-one"),
        ({"target": None}, "target: None; allowed: bank-one"),
        ({"params": SimpleNamespace(given={"share": 2})}, r"params\.share: 2 is out of bounds; allowed:"),
        ({"params": SimpleNamespace(given={"size": 1})}, r"params\.size: there is no such parameter"),
        ({"params": None}, "params: `share` is missing"),
    ],
)
async def test_a_fault_that_the_file_does_not_have_is_not_begun(
    tmp_path: Path, url: str, wallet: Wallet, changed: dict[str, Any], said: str
) -> None:
    """Another kind, another place, another parameter: the file says what there is."""
    step = STEP.model_copy(update=changed)
    async with Leases(
        drilled_exchange(tmp_path, url), seed=1, lease_seconds=30, on_ended=lambda *_: None
    ) as leases:
        with pytest.raises(FaultControlFailed, match=said):
            await leases.begin(step)
    assert wallet.calls == []


@pytest.mark.parametrize("own_name", [True, False])
async def test_a_begin_without_an_answer_may_have_begun(
    tmp_path: Path, url: str, wallet: Wallet, own_name: bool
) -> None:
    """Where its end takes no id of the target it is called; else its lease ends it."""
    faults = copy.deepcopy(DOCUMENT["faults"])
    # What was begun answers 201, which this file does not call good.
    faults["bank"]["begin"]["good"] = {"status": [204]}
    if own_name:
        for key in ("id", "renew", "hits", "hits_field"):
            del faults["bank"][key]
    exchange = drilled_exchange(tmp_path, url, faults=faults)
    async with Leases(exchange, seed=1, lease_seconds=30, on_ended=lambda *_: None) as leases:
        with pytest.raises(FaultControlFailed, match="answered 201"):
            await leases.begin(STEP)
    assert wallet.calls == (["begin", "end"] if own_name else ["begin"])


async def test_a_fault_without_an_id_is_no_fault_that_can_be_ended(
    tmp_path: Path, url: str, wallet: Wallet
) -> None:
    """The drill says so instead of going on."""
    wallet.lies = {"no id"}
    async with Leases(
        drilled_exchange(tmp_path, url), seed=1, lease_seconds=30, on_ended=lambda *_: None
    ) as leases:
        with pytest.raises(FaultControlFailed, match=r"began without an id at `brownout\.name`"):
            await leases.begin(STEP)


async def test_what_an_action_is_refused_with_holds_no_secret(tmp_path: Path) -> None:
    """A service may quote what it was asked with, and a step of a runbook is evidence.

    It is masked before it is cut: half of a secret is one too.
    """
    said = {"code": f"wrong {KEY}", "detail": f"{'x' * 190} {KEY}"}
    (tmp_path / "said.json").write_text(json.dumps(said))
    call = {"command": ["cat", "said.json"], "good": {"fields": {"ok": True}}}
    exchange = drilled_exchange(tmp_path, actions={"book.all": {"title": "Book all", "call": call}})
    canary = exchange.target.document.canary
    assert canary is not None
    assert canary.call.request is not None
    await exchange.access.of(canary.call.request)
    asked = ActionCall(
        name="book.all", arguments=(), reason="r", idempotency_key="k", timeout_seconds=20
    )  # fmt: skip
    with pytest.raises(ActionRefused, match=r"wrong \*\*\*") as raised:
        await target_actions(exchange)["book.all"](asked)
    assert KEY[:6] not in str(raised.value)
