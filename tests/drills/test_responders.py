"""A responder acknowledges every page that its role has to get, and follows the runbook of its own alert."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from moneypath.drills import responders
from moneypath.drills.responders import respond
from moneypath.drills.scenario import Responder
from moneypath.incidents.events import EventLog, LogHead
from moneypath.incidents.paging import Page, PagedAlert
from moneypath.incidents.timeline import Kind

from .story import Story

DOUBLE, MISMATCH = "MoneyPathDoubleCharge", "MoneyPathSettlementMismatch"


class Shift:
    """A drill on double charges with fakes for the pager and the runbook, in no time."""

    def __init__(self, log: EventLog) -> None:
        story = Story("drill-006-double-charge")
        self.log, self.followed = log, cast("list[str]", [])
        self.acknowledged: list[int] = []
        self.waits: asyncio.Barrier | None = None
        self.context = cast(
            Any,
            SimpleNamespace(
                scenario=story.scenario,
                runbook=story.runbook,
                pager=self,
                log=log,
                real=lambda seconds: seconds / 60_000,
            ),
        )

    async def acknowledge(self, page: Page, role: str, head: LogHead) -> str:
        """Note the page, as the pager does; the log has a head by then."""
        assert head.seq >= 0
        if self.waits:
            async with asyncio.timeout(5):
                await self.waits.wait()
        self.acknowledged.append(page.seq)
        return role

    async def respond(self, role: str, *alerts: str, **script: object) -> None:
        """Let a role answer the pages of these alerts, one page each."""
        pages: asyncio.Queue[Page] = asyncio.Queue()
        for seq, name in enumerate(alerts, start=1):
            alert = PagedAlert(name, "firing", 0.0, {"alertname": name, "provider": "north"}, {})
            pages.put_nowait(Page(seq, 0.0, role, "firing", (alert,)))
        declared = {"ack_after": "1m", **script}
        await respond(self.context, role, Responder.model_validate(declared), pages)

    @property
    def told(self) -> list[tuple[object, object]]:
        """Return the alert and the role of each acknowledgement in the log."""
        taken = (event for event in self.log.events if event.kind == Kind.PAGE_ACKNOWLEDGED)
        return [(event.payload["alert"], event.payload["role"]) for event in taken]


@pytest.fixture
def shift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shift]:
    """A shift whose runbook is noted and not executed."""
    log = EventLog(tmp_path / "events.jsonl")
    shift = Shift(log)

    async def follow(_: object, actor: object, labels: dict[str, str]) -> None:
        shift.followed.append(labels["alertname"])

    monkeypatch.setattr(responders, "_follow_runbook", follow)
    yield shift
    log.close()


async def test_every_expected_page_of_a_role_is_acknowledged(shift: Shift) -> None:
    """Each names its alert; what nobody expects is left alone."""
    await shift.respond("eng", "MoneyPathTargetDown", MISMATCH, DOUBLE)
    assert shift.told == [(MISMATCH, "eng"), (DOUBLE, "eng")]
    assert shift.acknowledged == [2, 3]


async def test_one_page_does_not_wait_for_the_acknowledgement_of_another(shift: Shift) -> None:
    """Both are acknowledged a minute after they came, and not one after the other."""
    shift.waits = asyncio.Barrier(2)
    await shift.respond("compliance", MISMATCH, DOUBLE)
    assert sorted(shift.acknowledged) == [1, 2]


async def test_the_runbook_is_followed_for_the_alert_that_leads_to_it(shift: Shift) -> None:
    """Not for the other one that comes first."""
    await shift.respond("ops", MISMATCH, DOUBLE, follows="double-charge")
    assert shift.followed == [DOUBLE]


async def test_without_its_alert_nobody_follows_the_runbook(shift: Shift) -> None:
    """Another expected alert is no reason to begin."""
    await shift.respond("ops", MISMATCH, follows="double-charge")
    assert shift.followed == []
    assert shift.told == [(MISMATCH, "ops")]


async def test_a_page_to_another_role_of_the_alert_is_not_ours(shift: Shift) -> None:
    """Support is expected for the double charge alone."""
    await shift.respond("support", MISMATCH)
    assert shift.told == []
