"""The wallet's first drill can fail: without the alert, the route, an action's effect, a posting, the payee.

Each test sabotages a real stack the way a mistake would. `make prove` runs them.
"""

import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
import yaml
from tests.proof_table import caught_by
from wallet_stack.starter import STARTER

from moneypath.drills.scoring import Scorecard
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind
from moneypath.runbooks import ActionCall
from moneypath.stack.starters import LiveStack
from moneypath.workflows.drill_stack import DrillObserver, drill_on_own_stack

WALLET: Final = Path(__file__).parents[2] / "examples" / "wallet"
DRILL: Final = WALLET / "drills" / "drill-101-bank-silent-after-moving.yaml"
ALERT: Final = "WalletTopUpHardDown"
ROLE: Final = "money-desk"
SABOTAGE_SECONDS: Final = 30
pytestmark = pytest.mark.proof


def _nothing(_: object) -> None:
    """Do nothing."""


async def _run(
    folder: Path,
    ready: Callable[[LiveStack], None] = _nothing,
    event: Callable[[Event], None] = _nothing,
    **options: Any,
) -> Scorecard:
    observer = DrillObserver(announce=_nothing, ready=ready, event=event)
    card = (await drill_on_own_stack(WALLET, DRILL, folder, observer, starter=STARTER, **options)).card
    caught_by(card.failures)
    assert not card.passed
    return card


def _reload(live: LiveStack, server: str) -> None:
    os.kill(live.supervisor.pids()[server], signal.SIGHUP)


async def test_without_its_alert_the_drill_fails(tmp_path: Path) -> None:
    """A deleted rule is a fault that nobody hears of."""

    def delete_the_alert(live: LiveStack) -> None:
        (rules,) = (live.endpoints.run_folder / "prometheus").rglob("*.rules.yml")
        tree = yaml.safe_load(rules.read_text())
        for group in tree["groups"]:
            group["rules"] = [rule for rule in group["rules"] if rule.get("alert") != ALERT]
        rules.write_text(yaml.safe_dump(tree))
        _reload(live, "prometheus")

    card = await _run(tmp_path, ready=delete_the_alert)
    assert f"alert {ALERT} did not fire" in card.failures


async def test_without_its_route_the_drill_fails(tmp_path: Path) -> None:
    """An alert that fires and reaches nobody is no alert."""

    def delete_the_route(live: LiveStack) -> None:
        file = live.endpoints.run_folder / "alertmanager" / "alertmanager.yml"
        tree = yaml.safe_load(file.read_text())
        routes = tree["route"]["routes"]
        kept = [route for route in routes if route["receiver"] != f"role-{ROLE}"]
        assert len(kept) == len(routes) - 1
        tree["route"]["routes"] = kept
        file.write_text(yaml.safe_dump(tree))
        _reload(live, "alertmanager")

    card = await _run(tmp_path, ready=delete_the_route)
    assert f"role {ROLE} was not paged by {ALERT}" in card.failures
    assert f"alert {ALERT} did not fire" not in card.failures


async def test_with_an_action_that_does_nothing_the_drill_fails(tmp_path: Path) -> None:
    """It answers as if it had paused the bank, whose own book says otherwise."""

    async def idle(call: ActionCall, /) -> Mapping[str, object]:
        return {"bank": call.arguments[0], "paused": True}

    card = await _run(tmp_path, actions={"bank.pause": idle})
    assert any(one.startswith("promise of bank.pause broken: ") for one in card.failures), card.failures


FIRST: Final = "SELECT id FROM movement WHERE kind = 'TOP_UP' ORDER BY booked_at LIMIT 1"
SPOILT: Final = {
    "a posting that is gone": (
        f"DELETE FROM movement WHERE id = ({FIRST}) RETURNING id::text",
        "without_posting",
    ),
    "a wrong payee": (
        "UPDATE movement SET to_account = (SELECT id FROM purse WHERE id <> movement.to_account LIMIT 1)"
        f" WHERE id = ({FIRST}) RETURNING id::text",
        "beneficiary",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
async def test_with_a_ledger_that_is_not_whole_the_drill_fails(tmp_path: Path, name: str) -> None:
    """One entry among hundreds: the score is 0, and the audit says which."""
    statement, words = SPOILT[name]
    stack: list[LiveStack] = []
    spoilt: list[str] = []

    def spoil(event: Event) -> None:
        if event.kind == Kind.RUNBOOK_ENDED:
            thread = threading.Thread(target=lambda: spoilt.append(_spoil(stack[0], statement)))
            thread.start()
            thread.join(timeout=SABOTAGE_SECONDS)

    card = await _run(tmp_path, ready=stack.append, event=spoil)
    assert spoilt, "the sabotage did not happen"
    assert card.score == 0.0
    assert any("the ledger is not whole" in one and words in one for one in card.failures), card.failures


def _spoil(live: LiveStack, statement: str) -> str:
    """Change the ledger as its owner; the first order of the drill is among what is judged."""
    with psycopg.connect((live.endpoints.secrets_folder / "owner_dsn").read_text()) as connection:
        row = connection.execute(statement).fetchone()
        assert row is not None
        return str(row[0])
