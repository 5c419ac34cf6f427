"""A drill on a deployed service is refused, before anything is broken, for whatever its target lacks."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.drills.story import OUTAGE, PATH, PROJECT
from tests.target.drilled import LOOK, NOWHERE, drilled_target
from tests.target.stranger import DOCUMENT

from moneypath.drills.scenario import EffectiveWhen
from moneypath.drills.timeline_entry import TimelineEntry
from moneypath.prometheus import Prometheus, PrometheusUnreachable
from moneypath.runbooks import load as load_runbook
from moneypath.target.conformance import look
from moneypath.target.errors import NotDrillable
from moneypath.target.exchange import Exchange
from moneypath.target.loader import Target
from moneypath.workflows.drill import Drill, DrillMismatch, load_drill, run_and_score, service_of_target
from moneypath.workflows.drill_target import drill_on_target, exchange_to_break, exchange_to_read

STEPS = {"at": "0s", "id": "brown", "fault": "bank.brownout", "target": "bank-one", "params": {"share": 0.25}}


@pytest.fixture(scope="module")
def outage() -> Drill:
    """Return the drill of an outage as its file has it."""
    return load_drill(PROJECT, PROJECT / "drills" / f"{OUTAGE}.yaml", PATH)


@pytest.fixture
def drill(outage: Drill, tmp_path: Path) -> Drill:
    """Return a drill whose fault and runbook are those of the wallet."""
    return on_wallet(outage, tmp_path)


def on_wallet(
    outage: Drill,
    folder: Path,
    *,
    step: dict[str, Any] | None = None,
    when: EffectiveWhen = EffectiveWhen.CANARY_HARMED,
    truth: str = "whole",
    action: str = "bank.off",
) -> Drill:
    """Return the outage with another fault, another action in its runbook, and another word on the money."""
    scenario = outage.scenario
    changed: dict[str, Any] = {
        "timeline": (TimelineEntry.model_validate(STEPS | (step or {})),),
        "effective_when": when,
        "expect": scenario.expect.model_copy(update={"ledger_truth": truth}),
    }
    page = folder / outage.runbook.file.name
    text = outage.runbook.file.read_text(encoding="utf-8")
    for word in ("provider.drain", "provider.restore"):
        text = text.replace(f"[{word}, ", f"[{action}, ")
    page.write_text(text, encoding="utf-8")
    return replace(outage, scenario=scenario.model_copy(update=changed), runbook=load_runbook(page))


async def refusal(drill: Drill, folder: Path, **changes: Any) -> str:
    """Return why the drill is refused on a wallet that is changed; its Prometheus is never asked."""
    service = service_of_target(Exchange.of(drilled_target(folder, **changes)), Prometheus(NOWHERE))
    with pytest.raises(DrillMismatch) as raised:
        await run_and_score(drill, PROJECT, service, folder / "run", lambda _: None)
    assert raised.value.what.startswith(f"{drill.file}: ")
    assert not (folder / "run").exists()
    return f"{raised.value.what}\n{raised.value.hint}"


async def is_accepted(drill: Drill, folder: Path, **changes: Any) -> None:
    """Require that the drill goes on to ask Prometheus, which nobody is asked before."""
    service = service_of_target(Exchange.of(drilled_target(folder, **changes)), Prometheus(NOWHERE))
    with pytest.raises(PrometheusUnreachable):
        await run_and_score(drill, PROJECT, service, folder / "run", lambda _: None)


async def test_a_target_that_has_everything_is_accepted(drill: Drill, tmp_path: Path) -> None:
    """The next thing is to look at the past of its traffic."""
    await is_accepted(drill, tmp_path)


def without(key: str) -> dict[str, Any]:
    """Return the changes by which a target lacks something of `look`."""
    return {"look": {name: value for name, value in LOOK.items() if name != key}}


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        (without("pages"), "look.pages"),
        (without("acknowledge"), "look.acknowledge"),
        ({"load": None}, "load"),
        ({"canary": None}, "canary"),
        ({"witnesses": None}, "witnesses"),
        ({"actions": DOCUMENT["actions"]}, "actions.bank.off.promise"),
        ({"actions": {}}, "actions.bank.off"),
        ({"canary": None, "witnesses": None, "load": None}, "load, canary, witnesses"),
    ],
)
async def test_what_a_target_lacks_is_named(
    drill: Drill, tmp_path: Path, changes: dict[str, Any], lacking: str
) -> None:
    """One sentence with both files and every key."""
    said = await refusal(drill, tmp_path, **changes)
    assert f"the target wallet lacks {lacking}\n" in said
    assert str(tmp_path / "wallet.yaml") in said


async def test_what_a_drill_does_not_need_is_not_asked_for(outage: Drill, tmp_path: Path) -> None:
    """A heartbeat; a canary where the target counts hits; witnesses where the money is not known."""
    drill = on_wallet(outage, tmp_path)
    await is_accepted(drill, tmp_path, **without("heartbeat"))
    await is_accepted(drill, tmp_path, load={"live": True})
    await is_accepted(on_wallet(outage, tmp_path, truth="unknown"), tmp_path, witnesses=None)
    hit = on_wallet(outage, tmp_path, when=EffectiveWhen.TARGET_HIT)
    await is_accepted(hit, tmp_path, canary=None)
    faults = {key: value for key, value in DOCUMENT["faults"]["bank"].items() if not key.startswith("hits")}
    assert "lacks faults.bank.hits\n" in await refusal(hit, tmp_path, faults={"bank": faults})
    await is_accepted(drill, tmp_path, faults={"bank": faults})


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"fault": "bank.blackout"}, "wallet has no fault bank.blackout; allowed: bank.brownout."),
        ({"target": "bank-two"}, "bank.brownout: target: bank-two; allowed: bank-one."),
        ({"target": None}, "bank.brownout: target: None; allowed: bank-one."),
        (
            {"params": {"share": 3}},
            "bank.brownout: params.share: 3 is out of bounds; allowed: a number from 0 to 1.",
        ),
        (
            {"params": {"size": 1, "share": 1}},
            "params.size: there is no such parameter; allowed: reason, share.",
        ),
        ({"params": {}}, "bank.brownout: params: `share` is missing; allowed: reason, share."),
        (
            {"fault": "provider.refuse", "params": {"rate": 1}},
            "wallet has no fault provider.refuse; allowed: bank.brownout.",
        ),
        (
            {
                "fault": "traffic.card_testing",
                "target": None,
                "params": {"card_ranges": ["411111"], "per_second": 1},
            },
            "traffic.card_testing is traffic, which nobody sends to wallet",
        ),
    ],
)
async def test_a_fault_that_does_not_fit_is_refused(
    outage: Drill, tmp_path: Path, step: dict[str, Any], said: str
) -> None:
    """Its name, its place or its parameters, with what is allowed."""
    assert said in await refusal(on_wallet(outage, tmp_path, step=step), tmp_path)


def test_a_fault_is_looked_for_in_the_target_that_is_drilled(tmp_path: Path) -> None:
    """Its file may lie anywhere: a project without targets of its own can drill it."""
    file = tmp_path / "drill-900-brownout.yaml"
    text = (PROJECT / "drills" / f"{OUTAGE}.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("fault: provider.drop", "fault: bank.brownout"), encoding="utf-8")
    target = drilled_target(tmp_path).document
    with pytest.raises(DrillMismatch, match=r"unknown fault: bank\.brownout"):
        load_drill(PROJECT, file, PATH)
    assert load_drill(PROJECT, file, PATH, target=target).scenario.timeline
    file.write_text(text.replace("fault: provider.drop", "fault: bank.blackout"), encoding="utf-8")
    with pytest.raises(DrillMismatch, match=r"unknown fault: bank\.blackout") as raised:
        load_drill(PROJECT, file, PATH, target=target)
    assert raised.value.hint == "Name one of these: bank.brownout."


Answer = Callable[[web.Request], Any]


@pytest.fixture
async def alertmanager() -> AsyncIterator[tuple[str, list[Any]]]:
    """Serve an Alertmanager that has the alerts of a list; return its address and the list."""
    alerts: list[Any] = [{"labels": {"alertname": "WalletWatchdog", "environment": "staging"}}]

    async def listed(_: web.Request) -> web.Response:
        return web.Response(text=json.dumps(alerts), content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/v2/alerts", listed)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/"), alerts


def target_at(folder: Path, alerts_at: str, **changes: Any) -> Target:
    """Return the wallet whose alerts are read at an address."""
    return drilled_target(folder, given={"alertmanager": alerts_at}, **changes)


async def test_only_the_environment_that_was_named_is_broken(
    tmp_path: Path, alertmanager: tuple[str, list[Any]]
) -> None:
    """By the one who asks, by the target's file, and by its alerts."""
    url, alerts = alertmanager
    exchange = await exchange_to_break(target_at(tmp_path, url), "staging")
    assert exchange.target.document.environment == "staging"
    for named, said in (
        (None, "nobody named the environment that may be broken"),
        ("production", "wallet runs in staging, not in production"),
        ("", "wallet runs in staging, not in "),
    ):
        with pytest.raises(NotDrillable, match=said) as raised:
            await exchange_to_break(target_at(tmp_path, url), named)
        assert str(tmp_path / "wallet.yaml") in raised.value.what
        assert "--environment staging" in raised.value.hint
    with pytest.raises(NotDrillable, match="wallet is not drillable"):
        await exchange_to_break(target_at(tmp_path, url, drillable=False), "staging")
    alerts[0]["labels"]["environment"] = "production"
    with pytest.raises(
        NotDrillable, match="The alerts say environment: production; the target is in staging"
    ):
        await exchange_to_break(target_at(tmp_path, url), "staging")
    alerts.append({"labels": {"alertname": "OtherWatchdog", "environment": "staging"}})
    with pytest.raises(NotDrillable, match="The alerts say environment: production, staging"):
        await exchange_to_break(target_at(tmp_path, url), "staging")


@pytest.mark.parametrize(
    ("labels", "said"),
    [({"alertname": "WalletWatchdog"}, "environment: no label"), (None, "does not answer as")],
)
async def test_alerts_that_do_not_say_where_they_are_break_nothing(
    tmp_path: Path, alertmanager: tuple[str, list[Any]], labels: dict[str, str] | None, said: str
) -> None:
    """The word of the file alone is not enough."""
    url, alerts = alertmanager
    alerts[:] = [{"labels": labels}]
    with pytest.raises(NotDrillable, match=said):
        await exchange_to_break(target_at(tmp_path, url), "staging")


async def test_nothing_is_broken_where_nobody_can_look(
    tmp_path: Path, alertmanager: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No watchdog, no Alertmanager that answers, and none in the file."""
    monkeypatch.setattr(look, "SENT_WITHIN_SECONDS", 0.0)
    url, alerts = alertmanager
    alerts.clear()
    with pytest.raises(NotDrillable, match="has no watchdog: Prometheus sends it nothing"):
        await exchange_to_break(target_at(tmp_path, url), "staging")
    with pytest.raises(NotDrillable, match=NOWHERE):
        await exchange_to_break(target_at(tmp_path, NOWHERE), "staging")
    nobody = {"prometheus": {"url": "${prometheus}"}}
    with pytest.raises(NotDrillable, match="No Alertmanager: nobody can tell"):
        await exchange_to_break(drilled_target(tmp_path, look=nobody), "staging")
    # To read it is enough that nothing says otherwise.
    assert await exchange_to_read(drilled_target(tmp_path, look=nobody), None)


async def test_who_only_reads_needs_no_environment(
    tmp_path: Path, alertmanager: tuple[str, list[Any]]
) -> None:
    """Nor a target that may be broken; but alerts of another one are those of another service."""
    url, alerts = alertmanager
    for environment in (None, "staging"):
        assert await exchange_to_read(target_at(tmp_path, url, drillable=False), environment)
    with pytest.raises(NotDrillable, match="wallet runs in staging, not in production"):
        await exchange_to_read(target_at(tmp_path, url), "production")
    alerts[0]["labels"]["environment"] = "production"
    with pytest.raises(NotDrillable, match="The alerts say environment: production"):
        await exchange_to_read(target_at(tmp_path, url), None)


async def test_a_drill_ends_before_a_target_of_no_environment_hears_of_it(tmp_path: Path) -> None:
    """Its file is read, its faults are known, and nothing is asked."""
    drill = PROJECT / "drills" / f"{OUTAGE}.yaml"
    with pytest.raises(NotDrillable, match="wallet runs in staging, not in staging-2"):
        await drill_on_target(PROJECT, drill, drilled_target(tmp_path), "staging-2", lambda _: None)
    with pytest.raises(NotDrillable, match="nobody named the environment"):
        await drill_on_target(PROJECT, drill, drilled_target(tmp_path), None, lambda _: None)
