"""Every answered action gets its witness's count into the log, and what cannot be read is not known."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from moneypath import oracle
from moneypath.drills import promises
from moneypath.drills.actions_taken import ActionsTaken, ActionTaken
from moneypath.drills.promises import PROBES, probe, record_promises
from moneypath.errors import MoneypathError
from moneypath.incidents.events import EventLog
from moneypath.incidents.timeline import Kind
from moneypath.oracle.records import Charge, ChargeStatus, Operation
from moneypath.prometheus import Sample
from moneypath.runbooks import action_promises as declared

ENDED_AT = 2000.0
URLS = {"north": "http://north", "south": "http://south"}


class Drill:
    """What the promises of a drill need of its context."""

    def __init__(self, folder: Path) -> None:
        for name in URLS:
            (folder / f"{name}_control_token").write_text(f"token-of-{name}\n", encoding="utf-8")
        self.log = EventLog(folder / "events.jsonl")
        self.actions_taken = ActionsTaken()
        self.endpoints = cast(
            Any,
            SimpleNamespace(secrets_folder=folder, providers=URLS, oracle_dsn="postgresql://oracle"),
        )
        self.sent: list[tuple[str | None, int]] = []
        self.canary = cast(Any, SimpleNamespace(send=self._send))

    def took(self, name: str, argument: str, answered_at: float | None = 1000.0, **answer: object) -> None:
        """Note an action."""
        self.actions_taken.taken.append(
            ActionTaken(name, argument, f"key of {name}", 999.0, answered_at, answer)
        )

    async def _send(self, *, card_range: str | None = None, amount_minor: int = 0) -> None:
        self.sent.append((card_range, amount_minor))

    async def query(self, promql: str, /) -> list[Sample]:
        """Answer that four letters are left in the queue."""
        assert 'moneypath_dead_letter_depth{queue="notifications"}' in promql
        return [Sample({}, 4.0)]

    @property
    def context(self) -> Any:
        """Return itself as the context."""
        return cast(Any, self)

    @property
    def recorded(self) -> list[Mapping[str, Any]]:
        """Return the payloads of what was recorded, all of which come from the witnesses."""
        assert {(event.kind, event.source) for event in self.log.events} <= {
            (Kind.PROMISE_CHECKED, "witnesses")
        }
        assert [event.subject for event in self.log.events] == [
            event.payload["action"] for event in self.log.events
        ]
        return [event.payload for event in self.log.events]


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    """A drill without actions."""
    drill = Drill(tmp_path)
    yield drill
    drill.log.close()


@pytest.fixture
def witnesses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Books with one new payment for each provider, and one after the load; returns what was asked."""
    asked: list[tuple[str, ...]] = []

    async def book(url: str, token: str) -> list[Charge]:
        asked.append(("book", url, token))
        provider = url.removeprefix("http://")
        return [
            Charge(
                provider, 1, f"k{at}", Operation.AUTHORIZE, f"r{at}", 100, "EUR", "411111",
                ChargeStatus.APPROVED, f"p{at}", at,
            )
            for at in (1500.0, 2500.0)
        ]  # fmt: skip

    async def served(url: str, token: str) -> list[oracle.ReportTaken]:
        asked.append(("reports", url, token))
        return [oracle.ReportTaken("north", 7, at) for at in (900.0, 1000.0)]

    async def postings(dsn: str) -> list[oracle.PostingLine]:
        asked.append(("postings", dsn))
        return []

    monkeypatch.setattr(oracle, "read_provider_book", book)
    monkeypatch.setattr(oracle, "read_reports_taken", served)
    monkeypatch.setattr(oracle, "read_postings", postings)
    monkeypatch.setattr(promises, "time", SimpleNamespace(time=lambda: ENDED_AT))
    return asked


async def test_each_answered_action_is_recorded_with_its_count(
    drill: Drill, witnesses: list[tuple[str, ...]]
) -> None:
    """From every provider's book up to the end of the load, each read with its own token."""
    drill.took(declared.PROVIDER_DRAIN, "north")
    drill.took(declared.SETTLEMENT_REFETCH, "north")
    drill.took(declared.DUPLICATES_REFUND, "north")
    drill.took(declared.SUSPENSE_RELEASE, "op-1")
    drill.took(declared.DEAD_LETTERS_REPLAY, "notifications")
    drill.took(declared.PROVIDER_RESTORE, "south", answered_at=None)
    await record_promises(drill.context, drill.endpoints)
    assert [(one["action"], one["found"], one["evidence"]) for one in drill.recorded] == [
        (declared.PROVIDER_DRAIN, 1, 1),
        (declared.SETTLEMENT_REFETCH, 1, None),
        (declared.DUPLICATES_REFUND, 0, None),
        (declared.SUSPENSE_RELEASE, 0, None),
        (declared.DEAD_LETTERS_REPLAY, 4.0, None),
    ]
    assert drill.recorded[0] == {
        "action": "provider.drain", "argument": "north", "key": "key of provider.drain",
        "found": 1, "evidence": 1, "reason": "",
    }  # fmt: skip
    assert sorted(witnesses) == sorted(
        [("postings", "postgresql://oracle")]
        + [(what, url, f"token-of-{name}") for name, url in URLS.items() for what in ("book", "reports")]
    )


async def test_a_witness_that_cannot_be_read_leaves_all_not_known(
    drill: Drill, witnesses: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason, so that the drill fails by it."""

    async def gone(_: str) -> None:
        raise MoneypathError("ledger unreachable: oracle", hint="start it")

    monkeypatch.setattr(oracle, "read_postings", gone)
    drill.took(declared.PROVIDER_DRAIN, "north")
    drill.took(declared.SUSPENSE_RELEASE, "op-1")
    await record_promises(drill.context, drill.endpoints)
    assert [(one["found"], one["reason"]) for one in drill.recorded] == [
        (None, "ledger unreachable: oracle")
    ] * 2


async def test_without_an_answered_action_nobody_is_asked(
    drill: Drill, witnesses: list[tuple[str, ...]]
) -> None:
    """Nothing was promised."""
    drill.took(declared.PROVIDER_DRAIN, "north", answered_at=None)
    await record_promises(drill.context, drill.endpoints)
    assert (drill.recorded, witnesses) == ([], [])


async def test_only_a_range_that_was_unblocked_is_probed(drill: Drill) -> None:
    """A few payments, above what risk calls small; without a range there is nothing to send."""
    drill.took(declared.RISK_UNBLOCK, "busiest")
    drill.took(declared.RISK_BLOCK, "range", card_range="421234")
    drill.took(declared.RISK_UNBLOCK, "range", card_range="455555")
    await probe(drill.context, drill.canary)
    assert drill.sent == [("455555", promises.PROBE_AMOUNT_MINOR)] * PROBES
