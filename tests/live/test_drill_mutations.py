"""The drill can fail: take away the alert, the route, the mitigation or one posting, and it says so.

Each test sabotages a real stack the way a mistake would: rules and routing are edited on disk and
reloaded, the lever answers without acting, a posting is deleted by a superuser who switched the triggers off.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from moneypath.drills.scoring import Scorecard
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind
from moneypath.runbooks import Lever, LeverCall
from moneypath.stack import secrets
from moneypath.workflows.demo import Viewer, drill_on_own_stack
from moneypath.workflows.live import Live

DRILL = Path("drills/drill-002-partial-provider-outage.yaml")
ALERT = "MoneyPathAuthorizationBudgetBurn"

MakeViewer = Callable[..., Viewer]


async def _run(project: Path, folder: Path, viewer: Viewer, **options: Any) -> Scorecard:
    result = await drill_on_own_stack(project, project / DRILL, folder, viewer, **options)
    return result.card


def _reload(live: Live, server: str) -> None:
    os.kill(live.supervisor.pids()[server], signal.SIGHUP)


async def test_without_its_alert_the_drill_fails(
    project: Path, tmp_path: Path, make_viewer: MakeViewer
) -> None:
    """A deleted rule is a fault that nobody hears of."""

    def delete_the_alert(live: Live) -> None:
        (rules,) = (live.endpoints.run_folder / "prometheus").rglob("*.rules.yml")
        tree = yaml.safe_load(rules.read_text())
        for group in tree["groups"]:
            group["rules"] = [rule for rule in group["rules"] if rule.get("alert") != ALERT]
        rules.write_text(yaml.safe_dump(tree))
        _reload(live, "prometheus")

    card = await _run(project, tmp_path, make_viewer(ready=delete_the_alert))
    assert not card.passed
    assert f"alert {ALERT} did not fire" in card.failures
    assert "role ops was not paged" in card.failures


@pytest.mark.proof
async def test_without_its_route_the_drill_fails(
    project: Path, tmp_path: Path, make_viewer: MakeViewer
) -> None:
    """An alert that fires and reaches nobody is no alert."""

    def delete_the_route(live: Live) -> None:
        file = live.endpoints.run_folder / "alertmanager" / "alertmanager.yml"
        tree = yaml.safe_load(file.read_text())
        routes = tree["route"]["routes"]
        tree["route"]["routes"] = [route for route in routes if route["receiver"] != "role-ops"]
        assert len(tree["route"]["routes"]) == len(routes) - 1
        file.write_text(yaml.safe_dump(tree))
        _reload(live, "alertmanager")

    card = await _run(project, tmp_path, make_viewer(ready=delete_the_route))
    assert not card.passed
    assert "role ops was not paged" in card.failures
    assert f"alert {ALERT} did not fire" not in card.failures


class _NoOp:
    """A lever that answers as if it had acted."""

    async def __call__(self, call: LeverCall, /) -> Mapping[str, object]:
        active = call.name == "provider.restore"
        return {"provider": call.arguments[0], "routing_active": active, "changed": True}


@pytest.mark.proof
async def test_with_a_mitigation_that_does_nothing_the_drill_fails(
    project: Path, tmp_path: Path, make_viewer: MakeViewer
) -> None:
    """The step after the lever looks at customers, not at the lever's answer."""
    idle: dict[str, Lever] = {"provider.drain": _NoOp(), "provider.restore": _NoOp()}
    card = await _run(project, tmp_path, make_viewer(), levers=idle)
    assert not card.passed
    assert any(failure.startswith("the runbook stopped") for failure in card.failures), card.failures


@pytest.mark.proof
async def test_with_one_posting_gone_the_drill_fails(
    project: Path, tmp_path: Path, make_viewer: MakeViewer
) -> None:
    """One entry among hundreds is missing: the score is zero, and the reference is named."""
    stack: list[Live] = []
    lost: list[str] = []

    def lose_one(event: Event) -> None:
        if event.kind == Kind.RUNBOOK_ENDED:
            thread = threading.Thread(target=lambda: lost.append(asyncio.run(_delete_one_entry(stack[0]))))
            thread.start()
            thread.join(timeout=20)

    card = await _run(project, tmp_path, make_viewer(ready=stack.append, event=lose_one))
    assert lost, "the sabotage did not happen"
    assert card.score == 0.0
    assert any("capture_without_posting" in failure for failure in card.failures), card.failures
    assert any(lost[0] in failure for failure in card.failures), card.failures


async def _delete_one_entry(live: Live) -> str:
    """Delete the oldest capture's entry as only a superuser can, and return its merchant reference."""
    folder = live.endpoints.run_folder / "secrets" / "database"
    port = live.endpoints.oracle_dsn.rsplit(":", 1)[1].split("/")[0]
    connection = await asyncpg.connect(
        f"postgresql://postgres:{secrets.read(folder, 'postgres')}@127.0.0.1:{port}/refpay"
    )
    try:
        async with connection.transaction():
            for table in ("ledger.line", "ledger.entry"):
                await connection.execute(f"alter table {table} disable trigger all")
            row = await connection.fetchrow(
                "select entry_id, merchant_reference from oracle.ledger_lines order by posted_at limit 1"
            )
            assert row is not None
            await connection.execute("delete from ledger.line where entry_id = $1", row["entry_id"])
            await connection.execute("delete from ledger.entry where id = $1", row["entry_id"])
            for table in ("ledger.line", "ledger.entry"):
                await connection.execute(f"alter table {table} enable trigger all")
        return str(row["merchant_reference"])
    finally:
        await connection.close()
