"""Every drill can fail: without the alert, the route, an action's effect or one posting it does.

Each test sabotages a real stack the way a mistake would: rules and routing are edited on disk and
reloaded, an action answers without acting, a posting is deleted by a superuser who switched triggers off.
A drill joins by a row of DRILLS; `make prove` runs them.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
import yaml
from tests.proof_table import caught_by

from moneypath.drills.scoring import Scorecard
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind
from moneypath.runbooks import ActionCall
from moneypath.stack import secrets
from moneypath.stack.starters import LiveStack
from moneypath.workflows.drill_stack import DrillObserver, drill_on_own_stack
from refstack.live_stack import REFERENCE

MakeViewer = Callable[..., DrillObserver]


@dataclass(frozen=True, slots=True)
class Spoilt:
    """What is taken from one drill, and the words by which its scorecard misses it.

    `role` is paged by `alert`. `idle` holds what each action that does nothing answers, beside its argument
    under the name `argument`. `unrepaired` names the action without which money is left wrong: without it
    the score is 0.
    """

    drill: str
    alert: str
    role: str
    idle: Mapping[str, Mapping[str, object]]
    argument: str = "provider"
    unrepaired: str = ""


ROUTED: Final = {
    "provider.drain": {"routing_active": False, "changed": True},
    "provider.restore": {"routing_active": True, "changed": True},
}
DRILLS: Final = (
    Spoilt(
        drill="drill-002-partial-provider-outage",
        alert="MoneyPathAuthorizationBudgetBurn",
        role="ops",
        idle=ROUTED,
    ),
    Spoilt(
        drill="drill-006-double-charge",
        alert="MoneyPathDoubleCharge",
        role="support",
        idle={**ROUTED, "duplicates.refund": {"refunded": 1, "changed": True}},
        unrepaired="duplicates.refund",
    ),
    Spoilt(
        drill="drill-017-card-testing",
        alert="MoneyPathFraudSpike",
        role="compliance",
        idle={
            "risk.block": {"blocked": True, "changed": True},
            "risk.unblock": {"blocked": False, "changed": True},
        },
        argument="card_range",
    ),
    Spoilt(
        drill="drill-012-settlement-mismatch",
        alert="MoneyPathSettlementMismatch",
        role="compliance",
        idle={**ROUTED, "settlement.refetch": {"reports": 1, "changed": True}},
    ),
)
DEAD: Final = tuple((spoilt, action) for spoilt in DRILLS for action in spoilt.idle)


def _each() -> pytest.MarkDecorator:
    """Run a proof for every drill. `tests/drills/sabotage` spoils the logs of drills instead, in seconds."""
    rows = [pytest.param(one, id=one.drill, marks=pytest.mark.proof) for one in DRILLS]
    return pytest.mark.parametrize("spoilt", rows)


async def _run(
    project: Path, spoilt: Spoilt, folder: Path, observer: DrillObserver, **options: Any
) -> Scorecard:
    file = project / "drills" / f"{spoilt.drill}.yaml"
    card = (await drill_on_own_stack(project, file, folder, observer, starter=REFERENCE, **options)).card
    caught_by(card.failures)
    return card


def _reload(live: LiveStack, server: str) -> None:
    os.kill(live.supervisor.pids()[server], signal.SIGHUP)


@_each()
async def test_without_its_alert_the_drill_fails(
    project: Path, tmp_path: Path, make_observer: MakeViewer, spoilt: Spoilt
) -> None:
    """A deleted rule is a fault that nobody hears of."""

    def delete_the_alert(live: LiveStack) -> None:
        (rules,) = (live.endpoints.run_folder / "prometheus").rglob("*.rules.yml")
        tree = yaml.safe_load(rules.read_text())
        for group in tree["groups"]:
            group["rules"] = [rule for rule in group["rules"] if rule.get("alert") != spoilt.alert]
        rules.write_text(yaml.safe_dump(tree))
        _reload(live, "prometheus")

    card = await _run(project, spoilt, tmp_path, make_observer(ready=delete_the_alert))
    assert not card.passed
    assert f"alert {spoilt.alert} did not fire" in card.failures
    assert f"role {spoilt.role} was not paged by {spoilt.alert}" in card.failures


@_each()
async def test_without_its_route_the_drill_fails(
    project: Path, tmp_path: Path, make_observer: MakeViewer, spoilt: Spoilt
) -> None:
    """An alert that fires and reaches nobody is no alert."""

    def delete_the_route(live: LiveStack) -> None:
        file = live.endpoints.run_folder / "alertmanager" / "alertmanager.yml"
        tree = yaml.safe_load(file.read_text())
        routes = tree["route"]["routes"]
        kept = [route for route in routes if route["receiver"] != f"role-{spoilt.role}"]
        assert len(kept) == len(routes) - 1
        tree["route"]["routes"] = kept
        file.write_text(yaml.safe_dump(tree))
        _reload(live, "alertmanager")

    card = await _run(project, spoilt, tmp_path, make_observer(ready=delete_the_route))
    assert not card.passed
    assert f"role {spoilt.role} was not paged by {spoilt.alert}" in card.failures
    assert f"alert {spoilt.alert} did not fire" not in card.failures


@dataclass(frozen=True, slots=True)
class _NoOp:
    """An operator action that answers as if it had acted."""

    argument: str
    answer: Mapping[str, object]

    async def __call__(self, call: ActionCall, /) -> Mapping[str, object]:
        return {self.argument: call.arguments[0], **self.answer}


@pytest.mark.proof
@pytest.mark.parametrize(("spoilt", "dead"), DEAD, ids=[f"{one.drill}-{action}" for one, action in DEAD])
async def test_with_any_one_action_dead_the_drill_fails(
    project: Path, tmp_path: Path, make_observer: MakeViewer, spoilt: Spoilt, dead: str
) -> None:
    """Its answer is as it should be: what it promised is looked at where nobody who acts can write."""
    idle = {dead: _NoOp(spoilt.argument, spoilt.idle[dead])}
    card = await _run(project, spoilt, tmp_path, make_observer(), actions=idle)
    assert not card.passed
    assert any(failure.startswith(f"promise of {dead} broken: ") for failure in card.failures), card.failures
    assert card.score == 0.0 or dead != spoilt.unrepaired


@_each()
async def test_with_one_posting_gone_the_drill_fails(
    project: Path, tmp_path: Path, make_observer: MakeViewer, spoilt: Spoilt
) -> None:
    """One entry among hundreds is missing: the score is zero, and the reference is named."""
    stack: list[LiveStack] = []
    lost: list[str] = []

    def lose_one(event: Event) -> None:
        if event.kind == Kind.RUNBOOK_ENDED:
            thread = threading.Thread(target=lambda: lost.append(asyncio.run(_delete_one_entry(stack[0]))))
            thread.start()
            thread.join(timeout=20)

    card = await _run(project, spoilt, tmp_path, make_observer(ready=stack.append, event=lose_one))
    assert lost, "the sabotage did not happen"
    assert card.score == 0.0
    assert any("capture_without_posting" in failure for failure in card.failures), card.failures
    assert any(lost[0] in failure for failure in card.failures), card.failures


async def _delete_one_entry(live: LiveStack) -> str:
    """Delete the oldest capture's entry as only a superuser can, and return its merchant reference."""
    folder = live.endpoints.run_folder / "secrets" / "database"
    port = live.endpoints.oracle_dsn.rsplit(":", 1)[1].split("/")[0]
    connection = await asyncpg.connect(
        f"postgresql://postgres:{secrets.read(folder, 'postgres')}@127.0.0.1:{port}/refpay"
    )
    try:
        async with connection.transaction():
            await connection.execute("alter table ledger.entry disable trigger all")
            row = await connection.fetchrow(
                "select entry_id, merchant_reference from oracle.ledger_lines order by posted_at limit 1"
            )
            assert row is not None
            await connection.execute("delete from ledger.entry where id = $1", row["entry_id"])
            await connection.execute("alter table ledger.entry enable trigger all")
        return str(row["merchant_reference"])
    finally:
        await connection.close()
