"""What a stranger did to `moneypath target check`: each way is closed, and kept as a test."""

import asyncio
import copy
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from moneypath.cli.main import moneypath
from moneypath.path.source import DeclarationInvalid
from moneypath.secret_files import SecretFileUnusable
from moneypath.target.conformance.actions import check_actions
from moneypath.target.conformance.check import check_target
from moneypath.target.conformance.faults import check_faults
from moneypath.target.conformance.finding import ContractFinding, ContractState
from moneypath.target.conformance.load import check_load
from moneypath.target.errors import CallRefused
from moneypath.target.exchange import Exchange
from moneypath.target.loader import load_target
from moneypath.target.placeholders import fill_url

from .stranger import DOCUMENT, KEY, target_file, write_target

NOWHERE = "http://127.0.0.1:1"
Answer = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(slots=True)
class Puppet:
    """A service that answers whatever a test says; it keeps what it was asked."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer by method and first part of the path; wait where the test holds it."""
        name = f"{request.method} {request.path.split('/')[1]}"
        self.asked.append(f"{request.method} {request.path}")
        if name in self.held:
            self.reached.set()
            await self.held[name].wait()
        answer = self.answers.get(name, {"ok": True, "brownout": {"name": "b1"}})
        if isinstance(answer, web.Response):
            return answer
        return web.json_response(answer, status=201 if name == "POST brownouts" else 200)


@pytest.fixture
async def puppet() -> AsyncIterator[tuple[Puppet, str]]:
    """Serve a puppet."""
    state = Puppet()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", state.handle)
    async with TestServer(app) as server:
        yield state, str(server.make_url("")).rstrip("/")


def _exchange(folder: Path, url: str, **changes: Any) -> Exchange:
    given = {"wallet": url, "prometheus": NOWHERE, "alertmanager": NOWHERE}
    return Exchange.of(load_target(target_file(folder, **changes), given))


async def _all(findings: AsyncIterator[ContractFinding]) -> list[ContractFinding]:
    return [finding async for finding in findings]


def _failed(findings: list[ContractFinding]) -> str:
    return " ".join(one.sentence for one in findings if one.state is ContractState.FAILS)


@pytest.mark.parametrize("name", ["..", ".", "", "/", "--all", True, None, 1.5, "a/b", "\ud800", "x" * 300])
async def test_an_id_that_leaves_its_place_is_no_id(
    puppet: tuple[Puppet, str], tmp_path: Path, name: object
) -> None:
    """Neither renewal nor end is sent for it, since it could be the whole collection."""
    service, url = puppet
    service.answers["POST brownouts"] = {"brownout": {"name": name}}
    failed = _failed(await _all(check_faults(_exchange(tmp_path, url, canary=None), "")))
    assert (
        "without an id at brownout.name that can be used. It may have begun: look at the service." in failed
    )
    assert [one for one in service.asked if one.startswith(("PUT", "DELETE"))] == []


async def test_a_begin_that_fails_may_have_begun(puppet: tuple[Puppet, str], tmp_path: Path) -> None:
    """Where the end takes no id it is called; else the person is told."""
    service, url = puppet
    service.answers["POST brownouts"] = web.Response(status=500)
    failed = _failed(await _all(check_faults(_exchange(tmp_path, url, canary=None), "")))
    assert "did not begin as it should" in failed
    assert "It may have begun: look at the service." in failed
    faults = copy.deepcopy(DOCUMENT["faults"])
    faults["bank"] |= {"end": {"request": {"method": "DELETE", "url": "${wallet}/all"}}}
    for key in ("id", "renew", "hits", "hits_field"):
        del faults["bank"][key]
    failed = _failed(await _all(check_faults(_exchange(tmp_path, url, canary=None, faults=faults), "")))
    assert "Its end was called." in failed
    assert service.asked.count("DELETE /all") == 2


async def test_a_fault_that_is_listed_after_its_end_fails(puppet: tuple[Puppet, str], tmp_path: Path) -> None:
    """And one that is not listed while it should be."""
    service, url = puppet
    service.answers["GET brownouts"] = {"brownouts": [{"name": "b1", "hits": 0}]}
    failed = _failed(await _all(check_faults(_exchange(tmp_path, url, canary=None), "")))
    assert "was ended, and is listed as active still" in failed
    service.answers["GET brownouts"] = {"brownouts": []}
    failed = _failed(await _all(check_faults(_exchange(tmp_path, url, canary=None), "")))
    assert "there is no number of hits at brownouts[name].hits" in failed


@pytest.mark.parametrize("held", ["POST brownouts", "PUT brownouts", "GET brownouts", "DELETE brownouts"])
async def test_whoever_cancels_leaves_no_fault(puppet: tuple[Puppet, str], tmp_path: Path, held: str) -> None:
    """Whatever it waits for: the fault is ended before the check is."""
    service, url = puppet
    service.held[held] = asyncio.Event()
    checking = asyncio.ensure_future(_all(check_faults(_exchange(tmp_path, url, canary=None), "")))
    await asyncio.wait_for(service.reached.wait(), 20)
    checking.cancel()
    await asyncio.sleep(0)
    service.held[held].set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(checking, 20)
    assert service.asked.count("DELETE /brownouts/bank-one/b1") >= 2


@pytest.mark.parametrize("state", ["off", "on"])
async def test_whoever_cancels_leaves_no_action(tmp_path: Path, state: str) -> None:
    """What was done, or may have been, is undone."""
    service = Puppet()
    reached, go = asyncio.Event(), asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        service.asked.append(request.path)
        if request.path.endswith(f"/{state}"):
            reached.set()
            await go.wait()
        return web.json_response({"ok": True})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        checking = asyncio.ensure_future(
            _all(check_actions(_exchange(tmp_path, str(server.make_url("")).rstrip("/")), ""))
        )
        await asyncio.wait_for(reached.wait(), 20)
        checking.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(checking, 20)
    assert service.asked[-1] == "/switch/bank-one/on"


async def test_sigterm_heals_first(puppet: tuple[Puppet, str], tmp_path: Path) -> None:
    """The command that is told to end ends its fault, says nothing of a stack, and exits with 143."""
    service, url = puppet
    watchdog = [{"labels": {"alertname": "XWatchdog", "environment": "staging"}}]
    service.answers["GET api"] = web.Response(text=json.dumps(watchdog), content_type="application/json")
    service.held["PUT brownouts"] = asyncio.Event()
    file = target_file(tmp_path, canary=None, actions={}, witnesses=None)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "moneypath", "target", "check", str(file), "--environment", "staging",
        f"--set=wallet={url}", f"--set=prometheus={url}", f"--set=alertmanager={url}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    await asyncio.wait_for(service.reached.wait(), 60)
    process.send_signal(signal.SIGTERM)
    service.held["PUT brownouts"].set()
    said = (await asyncio.wait_for(process.stdout.read(), 60)).decode()
    assert await process.wait() == 128 + signal.SIGTERM, said
    assert "Traceback" not in said
    assert service.asked.count("DELETE /brownouts/bank-one/b1") >= 2


async def test_the_word_of_the_file_is_not_enough(puppet: tuple[Puppet, str], tmp_path: Path) -> None:
    """With alerts of production at the address that was given, nothing is changed."""
    service, url = puppet
    production = [{"labels": {"alertname": "XWatchdog", "environment": "production"}}]
    service.answers["GET api"] = web.Response(text=json.dumps(production), content_type="application/json")
    exchange = _exchange(
        tmp_path, url, canary=None, look={"prometheus": {"url": url}, "alertmanager": {"url": url}}
    )
    findings = await _all(check_target(exchange.target, "staging"))
    assert [one for one in service.asked if not one.startswith(("GET", "POST /api"))] == []
    assert any("do not say that this is the environment" in one.sentence for one in findings)


async def test_what_a_runbook_could_not_use_fails(puppet: tuple[Puppet, str], tmp_path: Path) -> None:
    """An answer that awaits an approval, and one that is no JSON object."""
    service, url = puppet
    actions = copy.deepcopy(DOCUMENT["actions"])
    for action in actions.values():
        action["call"]["good"] = {}
    for answer, said in (
        (
            web.json_response({"awaits": "approval"}, status=202),
            "awaits an approval: say `second_person: true`",
        ),
        (web.Response(text="OK"), "something else than a JSON object"),
    ):
        service.answers["POST switch"] = answer
        assert said in _failed(await _all(check_actions(_exchange(tmp_path, url, actions=actions), "")))
        service.answers.clear()


async def test_two_actions_that_undo_each_other_are_both_tried(
    puppet: tuple[Puppet, str], tmp_path: Path
) -> None:
    """None vanishes from the report."""
    actions = copy.deepcopy(DOCUMENT["actions"])
    actions["bank.on"]["try_with"] = ["bank-one"]
    findings = await _all(check_actions(_exchange(tmp_path, puppet[1], actions=actions), ""))
    assert [one.state for one in findings] == [ContractState.HOLDS] * 2


async def test_a_load_that_ends_or_gets_no_good_answer_fails(tmp_path: Path) -> None:
    """One that writes an answer and ends drives nothing."""
    line = (
        '{"at": 1.0, "operation": "authorize", "idempotency_key": "i", "merchant_reference": "r", '
        '"payment_id": null, "amount_minor": 1, "currency": "EUR", "status_code": 500, '
        '"outcome": "failed", "replayed": false, "merchant": "m"}'
    )
    write = f"import pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text({line!r} + chr(10)); "
    for rest, said in (("", "ended by itself"), ("time.sleep(60)", "no good answer")):
        load = {"command": [sys.executable, "-c", write + rest, "{answers_file}"]}
        assert said in _failed(await _all(check_load(_exchange(tmp_path, NOWHERE, load=load), "")))


async def test_secrets_and_signs_of_a_terminal_are_masked(puppet: tuple[Puppet, str], tmp_path: Path) -> None:
    """A service that answers with the key, in a refusal too, and with an escape sequence."""
    service, url = puppet
    service.answers["POST topups"] = web.Response(status=400, text=f"\x1b[2Jbad key {KEY}\n")
    empty = {"resultType": "vector", "result": []}
    service.answers["POST api"] = {"status": "success", "data": empty}
    exchange = _exchange(tmp_path, url, look={"prometheus": {"url": url}})
    findings = await _all(check_target(exchange.target, None))
    told = " ".join(one.sentence for one in findings)
    assert "bad key ***" in told
    assert KEY not in told
    assert told.isprintable()


def _change(path: str, value: object) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    part: Any = document
    *keys, last = path.split(".")
    for key in keys:
        part = part[key]
    part[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("look.prometheus.url", "http://bob:word@p", "an address holds no user and password"),
        ("look.prometheus.url", "{foo}", "there is no {foo}"),
        ("canary.marked_by", "up) + time(", "is no PromQL"),
        ("canary.marked_by", "time()", "is no selector of one series"),
    ],
)
def test_what_leaves_its_place_in_the_file_is_refused(
    tmp_path: Path, path: str, value: object, said: str
) -> None:
    """With file and line, before anything is asked."""
    given = dict.fromkeys(DOCUMENT["variables"], NOWHERE)
    with pytest.raises(DeclarationInvalid) as raised:
        load_target(write_target(tmp_path, _change(path, value)), given)
    assert said in raised.value.what
    assert "bob:word" not in raised.value.what


def test_a_file_that_cannot_be_used_is_bad_input(tmp_path: Path) -> None:
    """Exit code 2, for a mistake, a file that is not there, and one that would take minutes to read."""
    wrong, wide = tmp_path / "wrong.yaml", tmp_path / "wide.yaml"
    wrong.write_text("target: x\n")
    wide.write_text("\n".join(f"k{number}: 1" for number in range(30_000)))
    said = {
        wrong: "missing key",
        wide: "more than 20000 keys and values",
        tmp_path / "none": "does not exist",
    }
    for file, what in said.items():
        result = CliRunner().invoke(moneypath, ["target", "check", str(file)])
        assert getattr(result.exception, "exit_code", None) == 2, file
        assert what in str(result.exception)


@pytest.mark.parametrize("value", [1234567, 10**15, 0.1, 1e-7, 2.0])
def test_numbers_keep_their_digits_in_an_address(value: float) -> None:
    """None becomes 1.23457e+06."""
    text = fill_url("http://h/{n}", {"n": value}).rpartition("/")[2]
    assert float(text) == value
    assert text.isdigit() or value != int(value)


async def test_a_placeholder_without_a_value_is_a_sentence(
    puppet: tuple[Puppet, str], tmp_path: Path
) -> None:
    """An optional parameter may be left out of a body, and nowhere else."""
    faults = copy.deepcopy(DOCUMENT["faults"])
    faults["bank"]["begin"]["request"]["url"] = "${wallet}/brownouts/{reason}"
    exchange = _exchange(tmp_path, puppet[1], faults=faults)
    begin = exchange.target.document.faults["bank"].begin
    with pytest.raises(CallRefused, match=r"there is no value for \{reason\}"):
        await exchange.ask(begin, {"share": 0.25, "lease_seconds": 1}, place="bank-one")
    for text in ("", ".", ".."):
        with pytest.raises(CallRefused, match="no part of an address"):
            await exchange.ask(begin, {"reason": text}, place="bank-one")


def test_a_pipe_is_no_client_file(tmp_path: Path) -> None:
    """It would be waited for without an end."""
    os.mkfifo(tmp_path / "client", 0o600)
    auth = {"kind": "oauth2", "token_url": f"{NOWHERE}/t", "client_file": "client"}
    canary = _change("canary.call.request.auth", auth)["canary"]
    exchange = _exchange(tmp_path, NOWHERE, canary=canary)
    asked = exchange.target.document.canary
    assert asked is not None
    with pytest.raises(SecretFileUnusable, match="is not a regular file"):
        asyncio.run(asyncio.wait_for(exchange.ask(asked.call, {"unique": "u"}), 20))
