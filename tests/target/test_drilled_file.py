"""The keys of a target's file by which it is drilled: each mistake is named with its file, line and key."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from moneypath.path.source import DeclarationInvalid
from moneypath.secret_files import SecretFileUnusable
from moneypath.target.calls import Call
from moneypath.target.contracts import Count
from moneypath.target.errors import CallRefused
from moneypath.target.exchange import SHOWN
from moneypath.target.loader import load_target
from moneypath.target.placeholders import Argument

from .drilled import counting, drilled, drilled_exchange, drilled_target
from .stranger import DOCUMENT, DUTY, KEY, Wallet, write_target

GIVEN = {"wallet": "http://w", "prometheus": "http://p", "alertmanager": "http://a"}
Change = Callable[[dict[str, Any]], object]


def document() -> dict[str, Any]:
    """Return the wallet's document as one that can be drilled."""
    return deepcopy(DOCUMENT | drilled())


def promise(document: dict[str, Any]) -> dict[str, Any]:
    """Return what switching a bank off promises."""
    promised: dict[str, Any] = document["actions"]["bank.off"]["promise"]
    return promised


def request(call: dict[str, Any]) -> dict[str, Any]:
    """Return the request of a call."""
    asked: dict[str, Any] = call["request"]
    return asked


def test_a_file_that_is_right_is_loaded(tmp_path: Path) -> None:
    """With every key that a drill needs."""
    found = drilled_target(tmp_path).document
    promised = found.actions["bank.off"].promise
    assert promised is not None
    assert (promised.least, promised.most) == (0, 0)
    assert [at for at, _ in promised.counts] == [("count",), ("evidence", "count")]
    assert found.look.acknowledge is not None
    assert found.look.heartbeat_field == "last_at"
    assert found.fault_names == {"bank.brownout"}


ACKNOWLEDGE = "{page}, {role}, {log_seq}, {log_hash}"
CALL_ARGUMENTS = "{bank}, {since}, {until}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda d: promise(d).pop("most"),
            "actions.bank.off.promise.least: any number would keep it; allowed: `least` above 0, or `most`",
        ),
        (
            lambda d: promise(d).pop("evidence"),
            "actions.bank.off.promise.evidence: nothing at all would keep it: no traffic, or clocks",
        ),
        (
            lambda d: promise(d).update(title="Nothing reaches {bnk}"),
            "actions.bank.off.promise.title: there is no {bnk}; allowed: {bank}",
        ),
        (
            lambda d: promise(d).update(count={"query": "sum(x{bank='{bnk}'})"}),
            "actions.bank.off.promise.count.query: there is no {bnk}; allowed: {bank}, {window}",
        ),
        (
            lambda d: promise(d).update(count={"query": "sum(x) and {since}"}),
            "actions.bank.off.promise.count.query: there is no {since}; allowed: {bank}, {window}",
        ),
        (
            lambda d: request(promise(d)["count"]["call"]).update(url="${wallet}/book?bnk={bnk}"),
            f"actions.bank.off.promise.count.call: there is no {{bnk}}; allowed: {CALL_ARGUMENTS}",
        ),
        (
            lambda d: request(promise(d)["evidence"]["count"]["call"]).update(url="${wallet}/{window}"),
            f"promise.evidence.count.call: there is no {{window}}; allowed: {CALL_ARGUMENTS}",
        ),
        (
            lambda d: promise(d)["count"].update(query="sum(x)"),
            "actions.bank.off.promise.count: needs a `query`, or a `call` with the `field` of its answer",
        ),
        (lambda d: promise(d).update(count={}), "actions.bank.off.promise.count: needs a `query`, or a"),
        (lambda d: promise(d)["count"].pop("field"), "actions.bank.off.promise.count: needs a `query`, or a"),
        (
            lambda d: promise(d).update(count={"query": "sum(x)", "field": "count"}),
            "actions.bank.off.promise.count: needs a `query`, or a `call` with the `field`",
        ),
        (
            lambda d: promise(d)["evidence"].update(count={"field": "count"}),
            "actions.bank.off.promise.evidence.count: needs a `query`, or a `call`",
        ),
        (lambda d: promise(d)["evidence"].update(least=0), "actions.bank.off.promise.evidence.least"),
        (lambda d: promise(d).update(most=-1), "actions.bank.off.promise.most"),
        (lambda d: promise(d).update(witness="service"), "actions.bank.off.promise.witness"),
        (lambda d: promise(d).update(by="hand"), 'actions.bank.off.promise: "by" is an unknown key'),
        (
            lambda d: [one.update(arguments=["bank", "shop"]) for one in d["actions"].values()],
            "actions.bank.off.promise: a promise is about one argument; allowed: an action with at most one",
        ),
        (
            lambda d: request(d["look"]["acknowledge"]).update(url="${wallet}/{seq}"),
            f"look.acknowledge: there is no {{seq}}; allowed: {ACKNOWLEDGE}",
        ),
        (
            lambda d: request(d["look"]["acknowledge"])["auth"].update(value_file="duty_{person}"),
            f"look.acknowledge: there is no {{person}}; allowed: {ACKNOWLEDGE}",
        ),
        (
            lambda d: request(d["look"]["heartbeat"]).update(url="${wallet}/{role}"),
            "look.heartbeat: there is no {role}; allowed: no placeholder",
        ),
        (
            lambda d: request(d["look"]["pages"]).update(url="${wallet}/{role}"),
            "look.pages: there is no {role}; allowed: {after}, {wait_seconds}",
        ),
        (lambda d: d["look"].update(heartbeat_field="a b"), "look.heartbeat_field"),
        (lambda d: d["load"]["environment"].update(USERS="{user}"), "load: there is no {user}"),
        (lambda d: d["load"]["command"].append("{fault_id}"), "load: there is no {fault_id}"),
        (
            lambda d: d["faults"]["bank"].update(end_all={"command": ["end", "{at}", "{where}", "{kind}"]}),
            "faults.bank.end_all: there is no {kind}; allowed: {where}, {at}",
        ),
    ],
)  # fmt: skip
def test_each_mistake_is_named(tmp_path: Path, change: Change, said: str) -> None:
    """File and line stand first; what is allowed stands last."""
    changed = document()
    change(changed)
    file = write_target(tmp_path, changed)
    with pytest.raises(DeclarationInvalid) as raised:
        load_target(file, GIVEN)
    assert said in raised.value.what
    assert raised.value.what.startswith(f"{file}:")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: promise(d).update(most=None, least=1, evidence=None),
        # What is left of a queue is no matter of time: its series has to be there.
        lambda d: promise(d).update(count={"query": "sum(left{bank='{bank}'})"}, evidence=None),
        lambda d: promise(d).update(count={"query": "sum(increase(x[{window}s]))"}),
        lambda d: promise(d).update(least=2, most=5, evidence=None),
        lambda d: d["actions"]["bank.off"].pop("promise"),
        lambda d: d["look"].update(heartbeat={"command": ["beat"]}, heartbeat_field="a.b[c].d"),
        lambda d: d["faults"]["bank"].update(end_all={"command": ["end", "{where}", "{at}"]}),
    ],
)
def test_what_can_be_broken_is_accepted(tmp_path: Path, change: Change) -> None:
    """The twin of each mistake."""
    changed = document()
    change(changed)
    assert load_target(write_target(tmp_path, changed), GIVEN)


@pytest.mark.parametrize(
    ("count", "is_of_a_time"),
    [
        ({"query": "sum(increase(x[{window}s]))"}, True),
        ({"query": "sum(increase(x[5m]))"}, True),
        ({"query": 'sum(left{queue=~"[a-z]+"})'}, False),
        (counting(), True),
        ({"call": {"command": ["count", "{bank}"]}, "field": "n"}, False),
        ({"call": {"command": ["count", "{until}"]}, "field": "n"}, True),
    ],
)
def test_what_is_counted_of_a_time_is_told_from_a_level(count: dict[str, Any], is_of_a_time: bool) -> None:
    """By its window, its range, or the times that it is asked with."""
    assert Count.model_validate(count).is_of_a_time is is_of_a_time


def test_a_promise_of_no_argument_is_accepted(tmp_path: Path) -> None:
    """Its title and its counts then have none."""
    changed = document()
    switch = {"title": "Book all", "call": {"command": ["book"]}}
    counted = {
        "count": {"call": {"command": ["left", "{since}"]}, "field": "n"},
        "least": 1,
        "witness": "ledger",
    }
    changed["actions"]["book.all"] = switch | {"promise": {"title": "All is booked", **counted}}
    assert load_target(write_target(tmp_path, changed), GIVEN).document.actions["book.all"].promise
    changed["actions"]["book.all"]["promise"]["title"] = "All of {bank} is booked"
    with pytest.raises(DeclarationInvalid, match=r"there is no \{bank\}; allowed: no placeholder"):
        load_target(write_target(tmp_path, changed), GIVEN)


async def test_a_role_without_a_secret_acknowledges_nothing(tmp_path: Path) -> None:
    """The role is part of the name of a file, which has to be there and be private."""
    exchange = drilled_exchange(tmp_path)
    call = exchange.target.document.look.acknowledge
    assert call is not None
    given: dict[str, Argument] = {"page": 1, "log_seq": 1, "log_hash": "h"}
    with pytest.raises(SecretFileUnusable, match="duty_nobody"):
        await exchange.ask(call, {**given, "role": "nobody"}, role="nobody")
    (tmp_path / "duty_oncall").chmod(0o640)
    with pytest.raises(SecretFileUnusable, match="duty_oncall: may be read by others") as raised:
        await exchange.ask(call, {**given, "role": "oncall"}, role="oncall")
    assert not any(word in str(raised.value) for word in DUTY.values())
    assert Wallet().acknowledged == []


async def test_half_of_a_secret_is_told_to_nobody(tmp_path: Path) -> None:
    """What a refusal shows of an answer is masked before it is cut."""
    exchange = drilled_exchange(tmp_path)
    canary = exchange.target.document.canary
    assert canary is not None
    assert canary.call.request is not None
    await exchange.access.of(canary.call.request)
    (tmp_path / "said.txt").write_text(f"{'x' * (SHOWN - 5)}{KEY}")
    call = Call.model_validate({"command": ["cat", "said.txt"], "good": {"fields": {"ok": True}}})
    with pytest.raises(CallRefused) as raised:
        await exchange.ask(call)
    assert raised.value.hint == f"It said: {'x' * (SHOWN - 5)}***"
