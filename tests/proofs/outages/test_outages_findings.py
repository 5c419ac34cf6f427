"""What makes an outage fail: money, messages, healing, pages, payments, servers that end by themselves."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from proofs.crash_test.client_answers import count_requests
from proofs.crash_test.message_effects import MessageEffects
from proofs.outages.healing import Healing
from proofs.outages.outage import Outage, Server, Way
from proofs.outages.pages import PageCount
from proofs.outages.run import Result
from proofs.outages.table import to_document, to_row

from moneypath import oracle

BACKLOG = "MoneyPathQueueBacklog"
PAGED = PageCount({"eng": 2}, {(BACKLOG, "eng"): 2}, 1, 1)
SILENT = PageCount({}, {}, 0, 0)
ROWS = oracle.RowCounts(80, 80, 80, 40, 40, 40)
GOOD = Result(
    outage=Outage(Server.NATS, Way.FROZEN, 20, frozenset({BACKLOG})),
    captures=(50, 100, 70),
    pages=PAGED,
    healing=Healing(7.5, {"payments": 2.0, "messages": 7.5}),
    requests=count_requests([]),
    effects=MessageEffects(220, 0, 0, 0, 220, 220, 0),
    audit=oracle.AuditReport((), ROWS, (), oracle.MinimumEvidence(20, 20, 20)),
    deaths={},
)
LOST = oracle.Discrepancy(oracle.DiscrepancyKind.ACKNOWLEDGED_LOST, "payment 1", "gone")
PROMETHEUS = Outage(Server.PROMETHEUS, Way.FROZEN, 15)


def test_an_outage_that_does_no_harm_has_no_finding() -> None:
    """The twin of all that follow."""
    assert GOOD.findings == ()
    assert to_row(GOOD)[3:10] == ("0", "0", "0", "0, 0", "7.5 s (messages)", "eng 2", "QueueBacklog eng 2")
    assert to_document(GOOD)["findings"] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"audit": replace(GOOD.audit, discrepancies=(LOST,))}, "payment 1: gone"),
        ({"audit": replace(GOOD.audit, rows=replace(ROWS, posted_captures=3))}, "3 captures seen"),
        (
            {"effects": MessageEffects(220, 0, 1, 0, 219, 220, 0)},
            "1 resolved operations without a notification",
        ),
        (
            {"effects": MessageEffects(220, 0, 0, 0, 221, 220, 0)},
            "1 effects of messages that were applied twice",
        ),
        ({"healing": Healing(None, {"messages": None, "payments": 1.0})}, "not whole after 90 s: messages"),
        ({"healing": Healing(60.1, {"messages": 60.1})}, "whole after 60.1 s only, the last was: messages"),
        ({"pages": SILENT}, "nobody was paged for any of MoneyPathQueueBacklog"),
        ({"outage": PROMETHEUS}, "paged although the service was well: MoneyPathQueueBacklog"),
        ({"captures": (50, 0, 70)}, "nothing was captured during the outage"),
        ({"deaths": {"refpay-api": 1}}, "ended by themselves: refpay-api"),
    ],
)
def test_what_must_not_be_is_said(change: Mapping[str, Any], said: str) -> None:
    """One sentence for each, and no other one."""
    (found,) = replace(GOOD, **change).findings
    assert said in found


@pytest.mark.parametrize(
    "change",
    [
        {"outage": PROMETHEUS, "pages": SILENT},
        {"outage": replace(GOOD.outage, pays=False), "captures": (50, 0, 70)},
        # A full disk may end a server; who keeps it running starts it again.
        {"outage": replace(GOOD.outage, way=Way.DISK_FULL), "deaths": {"nats": 1}},
        {"healing": Healing(60.0, {"messages": 60.0})},
    ],
)
def test_what_belongs_to_an_outage_is_no_finding(change: Mapping[str, Any]) -> None:
    """Silence where all is well, no payment without the database, and a server that a full disk ended."""
    assert replace(GOOD, **change).findings == ()
