"""`moneypath target check` on a service that is not ours: whole when it is, and each lie of it is named."""

import copy
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from moneypath.alerting.conventions import watchdog_name
from moneypath.cli.main import moneypath
from moneypath.path.loader import load
from moneypath.target.conformance import canary, faults, look
from moneypath.target.conformance.check import check_target
from moneypath.target.conformance.finding import Contract, ContractFinding, ContractState, exit_code
from moneypath.target.conformance.witnesses import check_witnesses
from moneypath.target.loader import load_target

from .stranger import DOCUMENT, KEY, Wallet, target_file, write_witnesses


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the target's file."""
    (tmp_path / "targets").mkdir()
    write_witnesses(tmp_path / "targets")
    return tmp_path / "targets"


async def _ask(
    folder: Path,
    addresses: Mapping[str, str],
    environment: str | None = "staging",
    changes: Mapping[str, Any] | None = None,
) -> list[ContractFinding]:
    target = load_target(target_file(folder, **(changes or {})), addresses)
    return [finding async for finding in check_target(target, environment)]


async def test_a_service_that_keeps_its_contracts_holds(
    folder: Path, addresses: Mapping[str, str], wallet: Wallet
) -> None:
    """Every contract is asked; the fault and the action are over when the check is."""
    findings = await _ask(folder, addresses)
    assert [one for one in findings if one.state is not ContractState.HOLDS] == []
    assert {one.contract for one in findings} == set(Contract)
    assert exit_code(findings) == 0
    assert (wallet.brownouts, wallet.paused) == ({}, {})
    assert wallet.calls[1:] == ["off", "off", "on", "begin", "renew", "end", "end", "top-up"]
    assert any("began, 3 hits, and ended" in one.sentence for one in findings)


async def test_without_the_environment_nothing_is_changed(
    folder: Path, addresses: Mapping[str, str], wallet: Wallet
) -> None:
    """Who names no environment gets a canary alone, and is told what was not tried."""
    findings = await _ask(folder, addresses, environment=None)
    assert wallet.calls == ["top-up"]
    untried = [one.contract for one in findings if one.state is ContractState.NOT_TRIED]
    assert untried == [Contract.ACTIONS, Contract.FAULTS]
    assert exit_code(findings) == 3


# The first needs a count that nobody has raised lately.
LIES: Final = {
    "unmarked": (Contract.CANARY, "counted no canary within"),
    "broken": (Contract.CANARY, "answered 502; good are 200"),
    "parked": (Contract.CANARY, 'answered without topup.state: "APPLIED"'),
    "no id": (Contract.FAULTS, "answered without an id at brownout.name"),
    "no renewal": (Contract.FAULTS, "answered 500"),
    "stays": (Contract.FAULTS, "The canary is not well"),
    "ends once": (Contract.FAULTS, "began and could not be ended"),
    "not idempotent": (Contract.ACTIONS, "answered 409"),
    "no undo": (Contract.ACTIONS, "bank.on did not undo it"),
    "pages without roles": (Contract.LOOK, "pages.0.role"),
}


async def test_each_lie_is_named(
    folder: Path, addresses: Mapping[str, str], wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that does otherwise than its file says fails by the contract that it breaks."""
    monkeypatch.setattr(canary, "COUNTED_WITHIN_SECONDS", 3.0)
    monkeypatch.setattr(faults, "HEALED_WITHIN_SECONDS", 1.0)
    for lie, (contract, said) in LIES.items():
        wallet.lies, wallet.brownouts, wallet.paused = {lie}, {}, {}
        findings = await _ask(folder, addresses)
        failed = [one for one in findings if one.state is ContractState.FAILS]
        assert any(one.contract is contract and said in one.sentence for one in failed), (lie, failed)
        assert exit_code(findings) == 1
        assert wallet.paused == {} or lie == "no undo"


async def test_alerts_of_another_environment_are_named(folder: Path, addresses: Mapping[str, str]) -> None:
    """A target of production whose alerts say staging fails: their pages would reach the wrong people."""
    findings = await _ask(folder, addresses, "production", {"environment": "production"})
    failed = [one.sentence for one in findings if one.state is ContractState.FAILS]
    assert len(failed) == 1
    assert "environment: staging; the target is in production" in failed[0]


async def test_what_a_target_does_not_say_is_missing(folder: Path, addresses: Mapping[str, str]) -> None:
    """A file with nothing but Prometheus says what nobody can do with it."""
    nothing: dict[str, Any] = {"canary": None, "load": None, "witnesses": None}
    nothing |= {"faults": {}, "actions": {}, "places": {}, "variables": {"prometheus": None}}
    only = nothing | {"look": {"prometheus": {"url": "${prometheus}"}}}
    findings = await _ask(folder, {"prometheus": addresses["prometheus"]}, "staging", only)
    missing = [one.contract for one in findings if one.state is ContractState.MISSING]
    assert missing == [
        Contract.LOOK, Contract.LOOK, Contract.CANARY, Contract.LOAD, Contract.ACTIONS, Contract.FAULTS,
        Contract.WITNESSES,
    ]  # fmt: skip
    assert exit_code(findings) == 3


async def test_servers_that_are_gone_are_sentences(
    folder: Path, wallet_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither server answers, and every finding is a sentence."""
    monkeypatch.setattr(look, "SENT_WITHIN_SECONDS", 0.1)
    gone = "http://127.0.0.1:1"
    findings = await _ask(folder, {"wallet": wallet_url, "prometheus": gone, "alertmanager": gone})
    failed = [one for one in findings if one.state is ContractState.FAILS]
    assert {one.contract for one in failed} == {Contract.LOOK, Contract.CANARY}
    assert all(gone in one.sentence for one in failed)


def test_the_command_refuses_what_may_not_be_broken(tmp_path: Path) -> None:
    """Exit code 2 and a sentence, before anything is asked."""
    shared = [f"--set={name}=http://127.0.0.1:1" for name in ("wallet", "prometheus", "alertmanager")]
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({}, "production", "wallet runs in staging, not in production"),
        ({"drillable": False}, "staging", "wallet is not drillable"),
    ]
    for changes, environment, said in cases:
        file = target_file(tmp_path, **changes)
        asked = ["target", "check", str(file), *shared, "--environment", environment]
        result = CliRunner().invoke(moneypath, asked)
        assert result.exception is not None
        assert said in str(result.exception)
        assert getattr(result.exception, "exit_code", None) == 2


async def test_no_secret_is_in_what_is_printed(folder: Path, addresses: Mapping[str, str]) -> None:
    """A service that answers with its own key does not make us print it."""
    call = copy.deepcopy(DOCUMENT["canary"]["call"])
    call["request"]["auth"]["name"] = "X-Other-Key"
    findings = await _ask(folder, addresses, None, {"canary": {"call": call}})
    failed = [one for one in findings if one.state is ContractState.FAILS]
    assert [one.contract for one in failed] == [Contract.CANARY]
    assert all(KEY not in one.sentence for one in findings)


TWO: Final = {"id": "wallet", "ledger": "rows", "books": ["bank"]}


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        ({"booked": 101}, ContractState.FAILS, "wallet: not whole, "),
        ({"told": 99}, ContractState.FAILS, "wallet: not whole, "),
        ({"at": 1.0}, ContractState.MISSING, "nothing to compare in the last hour: rows, bank, told"),
        ({"reconcile": TWO}, ContractState.MISSING, "without answers"),
        ({"reconcile": {"id": "wallet", "ledger": "rowz"}}, ContractState.FAILS, '"rowz" is no witness'),
    ],
)
async def test_witnesses_are_reconciled(
    tmp_path: Path, changes: Any, state: ContractState, said: str
) -> None:
    """A book or an answer that differs, rows of another time, a witness that is lacking, a wrong file."""
    target = load_target(target_file(tmp_path), dict.fromkeys(DOCUMENT["variables"], "http://127.0.0.1:1"))
    write_witnesses(tmp_path)
    assert [one.state async for one in check_witnesses(target)] == [ContractState.HOLDS]
    write_witnesses(tmp_path, **changes)
    found = [one async for one in check_witnesses(target)]
    assert any(one.state is state and said in one.sentence for one in found), found
    (tmp_path / "witnesses.yaml").unlink()
    assert [one.state async for one in check_witnesses(target)] == [ContractState.FAILS]


@pytest.mark.parametrize("place", ["{answers_file}", "${answers_file}", "{answers_file}.told"])
async def test_answers_that_a_load_writes_are_not_tried(tmp_path: Path, place: str) -> None:
    """Only a drill or a gate has them; a name that nobody knows stays a failure."""
    target = load_target(target_file(tmp_path), dict.fromkeys(DOCUMENT["variables"], "http://127.0.0.1:1"))
    write_witnesses(tmp_path)
    file = tmp_path / "witnesses.yaml"
    text = file.read_text()
    file.write_text(text.replace("told.jsonl", f'"{place}"'))
    found = [one async for one in check_witnesses(target)]
    assert [one.state for one in found] == [ContractState.NOT_TRIED]
    assert "what told reads is written by the load of a drill" in found[0].sentence
    unknown = place.replace("answers_file", "answers_fyle")
    file.write_text(text.replace("told.jsonl", f'"{unknown}"'))
    found = [one async for one in check_witnesses(target)]
    assert [one.state for one in found] == [ContractState.FAILS]
    assert "answers_fyle" in found[0].sentence


async def test_what_is_younger_than_the_settle_time_is_waited_for(tmp_path: Path) -> None:
    """The check drove all that a fresh service has; a long settle time is not waited for."""
    target = load_target(target_file(tmp_path), dict.fromkeys(DOCUMENT["variables"], "http://127.0.0.1:1"))
    joined = {"id": "wallet", "ledger": "rows", "books": ["bank"], "answers": "told"}
    for settle, state in (("1s", ContractState.HOLDS), ("10m", ContractState.MISSING)):
        write_witnesses(tmp_path, at=time.time(), reconcile={**joined, "settle": settle})
        assert [one.state async for one in check_witnesses(target)] == [state]


def test_the_watchdog_that_is_looked_for_is_the_one_that_is_generated() -> None:
    """Whatever the team's prefix: the name that the rules give it fits the query of the check."""
    path = load(Path(__file__).parents[2] / "moneypath.yaml")
    found = re.search(r'alertname=~"([^"]+)"', look.WATCHDOG)
    assert found is not None
    assert re.fullmatch(found[1], watchdog_name(path))
