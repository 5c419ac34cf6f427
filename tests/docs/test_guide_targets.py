"""The guide on targets: what it shows can be loaded, and it names every contract, placeholder and key."""

import re
from pathlib import Path
from typing import Any

import yaml

from moneypath.capacity.target_gate import TargetGate
from moneypath.target import contracts
from moneypath.target.conformance.finding import Contract
from moneypath.target.loader import load_target

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "targets.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
(PROMISE,) = (block for block in BLOCKS if block.lstrip().startswith("promise:"))
(PLAN,) = (block for block in BLOCKS if block.startswith("title:"))


def test_the_smallest_file_is_loaded(tmp_path: Path) -> None:
    """As it is printed, with the one variable that the command above it gives."""
    file = tmp_path / "wallet.yaml"
    file.write_text(BLOCKS[0])
    target = load_target(file, {"wallet": "http://127.0.0.1:8000"})
    assert target.document.canary is not None
    assert target.document.faults == {}


def test_the_other_blocks_are_loaded_with_the_first(tmp_path: Path) -> None:
    """Actions, and the fault of another tool."""
    file = tmp_path / "wallet.yaml"
    file.write_text("".join(block for block in BLOCKS if block not in (PROMISE, PLAN)))
    target = load_target(file, {"wallet": "http://127.0.0.1:8000"})
    assert target.document.actions["bank.off"].try_with == ("bank-one",)
    assert target.document.faults["network"].ends_by_itself is False


def test_the_promise_and_the_plan_of_a_gate_are_sound() -> None:
    """Each by the model that reads it."""
    promise = contracts.ActionPromise.model_validate(yaml.safe_load(PROMISE)["promise"])
    assert promise.evidence is not None
    assert promise.evidence.count.is_of_a_time
    plan = TargetGate.model_validate(yaml.safe_load(PLAN))
    assert plan.objectives == ("top-up-availability", "withdrawal-availability")


def test_every_contract_and_placeholder_is_named() -> None:
    """What the code knows stands in the guide."""
    rows = re.findall(r"^\| `(\w+)` \| ", TEXT, re.M)
    keys = {Contract.LOOK: "look", Contract.ACTIONS: "actions"}
    assert {keys.get(each, each.value) for each in Contract} <= set(rows)
    known = [
        *contracts.CANARY_ARGUMENTS,
        *contracts.LOAD_ARGUMENTS,
        *contracts.ACTION_ARGUMENTS,
        *contracts.PAGES_ARGUMENTS,
        *contracts.ACKNOWLEDGE_ARGUMENTS,
        contracts.WINDOW,
        contracts.SINCE,
        contracts.UNTIL,
        contracts.FAULT_ID,
        contracts.WHERE,
    ]
    assert [name for name in known if f"`{{{name}}}`" not in TEXT] == []


def test_every_kind_of_auth_is_named() -> None:
    """With its keys."""
    rows = dict(re.findall(r"^\| `(bearer|basic|header|oauth2)`(?: \([^)]*\))? \| (.*) \|$", TEXT, re.M))
    plain: dict[str, Any] = yaml.safe_load(BLOCKS[0])
    assert plain["canary"]["call"]["request"]["auth"]["kind"] in rows
    assert {kind: re.findall(r"`(\w+)`", keys) for kind, keys in rows.items()} == {
        "bearer": ["token_file"],
        "basic": ["user", "password_file"],
        "header": ["name", "value_file"],
        "oauth2": ["token_url", "client_file", "scopes"],
    }
