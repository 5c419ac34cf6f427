"""What an action of a target promises is counted by others, and what nobody could count is broken."""

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from tests.target.drilled import PAUSED, counting, drilled, drilled_exchange
from tests.target.stranger import KEY, Wallet

from moneypath.drills import target_promises
from moneypath.drills.actions_taken import ActionsTaken, ActionTaken
from moneypath.drills.runbook_criteria import PROMISES_AS, promise_failures
from moneypath.drills.target_promises import listed_promises, record_promises
from moneypath.incidents.events import SYSTEM, Event, EventLog
from moneypath.incidents.timeline import Kind
from moneypath.prometheus import PrometheusUnreachable, Sample
from moneypath.runbooks.promises import Promise, Witness
from moneypath.target.exchange import Exchange

ANSWERED, ENDED = 1000.0, 1060.0
SINCE = ANSWERED + target_promises.UNDER_WAY_SECONDS


class Metrics:
    """A Prometheus that answers whatever a test says, and notes what it was asked."""

    def __init__(self, *values: float) -> None:
        self.values, self.asked = values, list[tuple[str, float | None]]()

    async def query(self, promql: str, /, *, at: float | None = None) -> tuple[Sample, ...]:
        """Return the samples."""
        self.asked.append((promql, at))
        return tuple(Sample({"n": str(n)}, value) for n, value in enumerate(self.values))


class Gone(Metrics):
    """A Prometheus that is gone."""

    async def query(self, promql: str, /, *, at: float | None = None) -> tuple[Sample, ...]:
        """Raise what the client raises."""
        raise PrometheusUnreachable("Prometheus does not answer at http://p.")


class Drill:
    """What the promises of a drill need of its context."""

    def __init__(self, folder: Path, exchange: Exchange) -> None:
        self.log, self.exchange, self.actions_taken = EventLog(folder / "e.jsonl"), exchange, ActionsTaken()

    def took(self, name: str, answered_at: float | None = ANSWERED, argument: str = "bank-one") -> None:
        """Note that an action was asked for, a second before it was answered."""
        asked = ANSWERED - 1 if answered_at is None else answered_at - 1
        taken = ActionTaken(name, argument, f"key of {name}", asked, answered_at, {})
        self.actions_taken.taken.append(taken)

    async def count(self, metrics: Metrics | None = None) -> list[Mapping[str, Any]]:
        """Return what is recorded of each action."""
        before = len(self.log.events)
        await record_promises(cast(Any, self), cast(Any, metrics or Gone()))
        assert {event.kind for event in self.log.events[before:]} <= {Kind.PROMISE_CHECKED}
        return [event.payload for event in self.log.events[before:]]

    @property
    def failures(self) -> list[str]:
        """Return why the drill fails by its promises, as its first event lists them."""
        listed = {PROMISES_AS: listed_promises(self.exchange.target.document)}
        first = Event(0, 0.0, 0.0, Kind.DRILL_STARTED, SYSTEM, "drill", listed)
        return list(promise_failures([first, *self.log.events]))


@pytest.fixture(autouse=True)
def _load_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_promises, "time", SimpleNamespace(time=lambda: ENDED))


@pytest.fixture
def wallet() -> Wallet:
    """Return a wallet whose banks kept to a pause: the other bank was asked, and this one before it."""
    others = [("bank-two", SINCE + n) for n in range(3)]
    return Wallet(booked=[*others, ("bank-one", ANSWERED - 2), ("bank-one", SINCE - 1), ("bank-one", ENDED)])


@pytest.fixture
async def url(wallet: Wallet) -> AsyncIterator[str]:
    """Serve the wallet."""
    async with TestServer(wallet.application()) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
def drill(tmp_path: Path, url: str) -> Iterator[Drill]:
    """Return a drill of the wallet in which the bank was switched off."""
    drill = Drill(tmp_path, drilled_exchange(tmp_path, url))
    drill.took("bank.off")
    yield drill
    drill.log.close()


def promising(drill: Drill, folder: Path, url: str, **promise: Any) -> None:
    """Give the action another promise; None leaves a key out."""
    changed = {key: value for key, value in (PAUSED | promise).items() if value is not None}
    actions = drilled()["actions"]
    actions["bank.off"] = actions["bank.off"] | {"promise": changed}
    drill.exchange = drilled_exchange(folder, url, actions=actions)


async def test_a_promise_is_counted_by_the_book_of_the_bank(drill: Drill) -> None:
    """From what was no longer under way to the end of the load, on evidence that there was traffic."""
    (counted,) = await drill.count()
    shown = Promise.read(counted["promise"])
    assert (shown.most, shown.least_evidence, shown.describe("bank-one")) == (
        0, 2, "Nothing new reaches bank-one",
    )  # fmt: skip
    assert {name: value for name, value in counted.items() if name != "promise"} == {
        "action": "bank.off", "argument": "bank-one", "key": "key of bank.off",
        "found": 0.0, "evidence": 3.0, "reason": "",
    }  # fmt: skip
    assert drill.failures == []


async def test_an_action_that_answers_well_and_does_nothing_is_found(drill: Drill, wallet: Wallet) -> None:
    """One order that reached the bank afterwards breaks the promise."""
    wallet.booked.append(("bank-one", SINCE + 1))
    await drill.count()
    assert drill.failures == [
        "promise of bank.off broken: Nothing new reaches bank-one: the provider's book has 1, exactly 0"
    ]


async def test_a_promise_ends_with_its_undo(drill: Drill, wallet: Wallet) -> None:
    """What reaches the bank after the undo was asked for is well; that of another bank ends nothing."""
    wallet.booked.append(("bank-one", SINCE + 20))
    drill.took("bank.on", SINCE + 11, argument="bank-two")
    assert [one["found"] for one in await drill.count()] == [1.0]
    drill.took("bank.on", SINCE + 11)
    assert [one["found"] for one in await drill.count()] == [0.0]


async def test_a_clock_that_is_behind_keeps_no_promise(drill: Drill, wallet: Wallet) -> None:
    """The book counts nothing of the time, and so nothing of the other banks either."""
    wallet.booked = [(bank, at - 3600) for bank, at in (*wallet.booked, ("bank-one", SINCE + 1))]
    (counted,) = await drill.count()
    assert (counted["found"], counted["evidence"]) == (0.0, 0.0)
    assert drill.failures == [
        "promise of bank.off broken: Nothing new reaches bank-one: only 0 top-ups at other banks, at least 2"
    ]


async def test_what_was_undone_at_once_was_not_looked_at(drill: Drill) -> None:
    """Without a time there is nothing to count, and 0 of nothing keeps no promise."""
    drill.took("bank.on", SINCE)
    (counted,) = await drill.count()
    assert counted["found"] is None
    assert "before there was anything to count" in counted["reason"]
    assert "not known: it was undone" in drill.failures[0]


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("no count", "there is no number at count"),
        ("huge", "more than 1048576 bytes"),
        ("endless", "no answer in time"),
        ("gossip", "answered 500"),
    ],
)
async def test_a_book_that_does_not_tell_is_not_known(
    drill: Drill, wallet: Wallet, tmp_path: Path, url: str, lie: str, said: str
) -> None:
    """Nothing of its secrets stands in the log."""
    promising(drill, tmp_path, url, count=counting(timeout_seconds=0.5))
    wallet.lies = {lie}
    (counted,) = await drill.count()
    assert (counted["found"], counted["evidence"]) == (None, None)
    assert said in counted["reason"]
    assert KEY not in (tmp_path / "e.jsonl").read_text(encoding="utf-8")
    assert "promise of bank.off broken" in drill.failures[0]
    assert "not known" in drill.failures[0]


async def test_evidence_that_cannot_be_counted_keeps_no_promise(
    drill: Drill, tmp_path: Path, url: str
) -> None:
    """The promise itself was counted; whether anything was going on nobody knows."""
    missing = PAUSED["evidence"] | {"count": {"query": "sum(increase(no_such[{window}s]))"}}
    promising(drill, tmp_path, url, evidence=missing)
    (counted,) = await drill.count(Metrics())
    assert (counted["found"], counted["evidence"]) == (0.0, None)
    assert "only none top-ups at other banks" in drill.failures[0]


QUERY = {"query": 'sum(increase(asked_total{bank="{bank}"}[{window}s]))'}


async def test_a_query_is_asked_for_the_time_of_the_promise(drill: Drill, tmp_path: Path, url: str) -> None:
    """Its window is the time, at whose end it is asked; several samples are added."""
    promising(drill, tmp_path, url, count=QUERY, witness="metrics")
    metrics = Metrics(1.0, 2.0)
    (counted,) = await drill.count(metrics)
    assert metrics.asked == [('sum(increase(asked_total{bank="bank-one"}[55s]))', ENDED)]
    assert counted["found"] == 3.0


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (Metrics(), 'the query finds no series: sum(increase(asked_total{bank="bank-one"}'),
        (Metrics(float("nan")), "the query finds no number"),
        (Metrics(0.0, float("inf")), "the query finds no number"),
        (Gone(), "Prometheus does not answer"),
    ],
)
async def test_a_series_that_nobody_has_is_not_zero(
    drill: Drill, tmp_path: Path, url: str, metrics: Metrics, said: str
) -> None:
    """`most: 0` would be kept by any name that is misspelt."""
    promising(drill, tmp_path, url, count=QUERY)
    (counted,) = await drill.count(metrics)
    assert counted["found"] is None
    assert said in counted["reason"]
    assert any("not known" in one for one in drill.failures)
    promising(drill, tmp_path, url, count=QUERY)
    assert [one["found"] for one in await drill.count(Metrics(0.0))] == [0.0]


async def test_a_promise_of_at_least_so_many_counts_from_the_answer(
    drill: Drill, tmp_path: Path, url: str
) -> None:
    """What was under way can only break a promise of at most so many."""
    promising(drill, tmp_path, url, most=None, least=2, evidence=None)
    assert [one["found"] for one in await drill.count()] == [1.0]
    assert "at least 2" in drill.failures[0]


async def test_an_unanswered_action_promises_nothing(drill: Drill) -> None:
    """And so nobody is asked; nor for an action that the file promises nothing of."""
    drill.actions_taken.taken.clear()
    drill.took("bank.off", answered_at=None)
    drill.took("bank.on")
    drill.took("other.action")
    assert await drill.count() == []


def test_braces_of_a_title_stand_for_themselves(drill: Drill, tmp_path: Path, url: str) -> None:
    """Only the argument is replaced: a title is no program."""
    promising(drill, tmp_path, url, title="{bank} gets {0} of {Any} {")
    (listed,) = listed_promises(drill.exchange.target.document).values()
    promise = Promise(**{**listed, "witness": Witness(listed["witness"])})
    assert promise.describe("bank-one") == "bank-one gets {0} of {Any} {"


@given(
    st.floats() | st.none(),
    st.floats() | st.none(),
    st.integers(0, 5),
    st.integers(0, 5) | st.none(),
    st.integers(0, 3),
)
def test_only_what_is_known_keeps_a_promise(
    found: float | None, evidence: float | None, least: int, most: int | None, needed: int
) -> None:
    """Whatever was counted: a kept promise has a finite number in its bounds, and enough evidence."""
    kept = Promise("t", Witness.LEDGER, least=least, most=most, least_evidence=needed).kept(found, evidence)
    if kept:
        assert found is not None
        assert least <= found < float("inf")
        assert most is None or found <= most
        assert not needed or (evidence is not None and evidence >= needed)
    elif found is not None and least <= found <= (least if most is None else most):
        assert needed
        assert evidence is None or not evidence >= needed
