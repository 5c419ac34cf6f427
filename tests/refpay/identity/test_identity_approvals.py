"""Approvals: another person, in time, for exactly what was asked, and once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from refpay.audit.events import SubjectKind
from refpay.db.pool import Database
from refpay.errors import RefpayError
from refpay.identity import approvals
from refpay.identity.approvals import Actor, Approval, ApprovalCommand, ApprovalStatus

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb
    from tests.refpay.identity.conftest import ManualClock

    from refpay.settings import Settings

COMMAND = ApprovalCommand(
    "payout.create", SubjectKind.PAYMENT, "shop", {"amount_minor": 5000, "currency": "EUR"}
)


@dataclass(slots=True)
class ApprovalFlow:
    """Approvals in a database of a test's own, at a clock that the test sets."""

    database: Database
    clock: "ManualClock"

    def person(self, name: str) -> Actor:
        """Return somebody who acts now."""
        return Actor(name, f"request-of-{name}", self.clock.now())

    async def ask(self, requested: ApprovalCommand = COMMAND, by: str = "ann") -> Approval:
        """Ask for something."""
        async with self.database.transaction() as connection:
            return await approvals.request(connection, requested, self.person(by), reason="why not")

    async def decide(self, approval_id: UUID, by: str = "bob", *, agreed: bool = True) -> str:
        """Decide; return what became of it, or the problem's code."""
        try:
            async with self.database.transaction() as connection:
                decided = await approvals.decide(
                    connection, approval_id, self.person(by), agreed=agreed, reason="looked at it"
                )
        except RefpayError as problem:
            return problem.code
        return decided.status

    async def use(self, requested: ApprovalCommand = COMMAND, by: str = "ann") -> bool:
        """Use what is open for a command, as whoever carries it out does."""
        async with self.database.transaction() as connection:
            found = await approvals.find_open(connection, requested, self.person(by))
            return found is not None and await approvals.use(connection, found, requested, self.person(by))


@pytest_asyncio.fixture(loop_scope="session")
async def flow(settings: "Settings", make_clock: Callable[[], "ManualClock"]) -> AsyncIterator[ApprovalFlow]:
    """Open a flow."""
    database = await Database.connect(settings.database, most_connections=4)
    yield ApprovalFlow(database, make_clock())
    await database.close()


async def test_another_person_approves_and_it_is_done_once(flow: ApprovalFlow, db: "RefpayDb") -> None:
    """Asked, approved, used; each audited in its own transaction with who and what."""
    asked = await flow.ask()
    assert (asked.status, await flow.use()) == (ApprovalStatus.PENDING, False)
    assert await flow.decide(asked.approval_id) == ApprovalStatus.APPROVED
    assert [await flow.use(), await flow.use()] == [True, False]
    rows = await db.rows("SELECT actor, action, after ->> 'fingerprint' AS f FROM audit.event ORDER BY seq")
    assert [(row["actor"], row["action"]) for row in rows] == [
        ("ann", "approval.requested"),
        ("bob", "approval.approved"),
        ("ann", "approval.used"),
    ]
    assert {row["f"] for row in rows} == {COMMAND.fingerprint.hex()}


async def test_nobody_approves_what_he_asked_for(flow: ApprovalFlow) -> None:
    """Nor refuses it; another one still can."""
    asked = await flow.ask()
    for agreed in (True, False):
        assert await flow.decide(asked.approval_id, by="ann", agreed=agreed) == "second_person_needed"
    assert await flow.use() is False
    assert await flow.decide(asked.approval_id) == ApprovalStatus.APPROVED


@pytest.mark.parametrize(
    "changed",
    [
        {"content": {"amount_minor": 5001, "currency": "EUR"}},
        {"content": {"amount_minor": 5000, "currency": "USD"}},
        {"content": {"amount_minor": "5000", "currency": "EUR"}},
        {"content": {}},
    ],
)
async def test_what_was_approved_is_exactly_that(flow: ApprovalFlow, changed: dict[str, Any]) -> None:
    """Another amount or currency needs another approval; the approved one is not lost by trying."""
    assert await flow.decide((await flow.ask()).approval_id) == ApprovalStatus.APPROVED
    assert await flow.use(replace(COMMAND, **changed)) is False
    assert await flow.use() is True


@pytest.mark.parametrize(
    "other",
    [
        replace(COMMAND, action="other"),
        replace(COMMAND, subject_id="rival"),
        replace(COMMAND, subject_kind=SubjectKind.PROVIDER),
    ],
)
async def test_an_approval_is_found_only_for_its_action_and_subject(
    flow: ApprovalFlow, other: ApprovalCommand
) -> None:
    """And its fingerprint holds them too."""
    assert await flow.decide((await flow.ask()).approval_id) == ApprovalStatus.APPROVED
    assert await flow.use(other) is False
    assert other.fingerprint != COMMAND.fingerprint


async def test_an_approval_is_its_askers_alone(flow: ApprovalFlow) -> None:
    """Neither the one who approved nor a third can use it."""
    assert await flow.decide((await flow.ask()).approval_id) == ApprovalStatus.APPROVED
    for name in ("bob", "eve"):
        assert await flow.use(by=name) is False


async def test_a_refusal_is_final(flow: ApprovalFlow) -> None:
    """It cannot be used nor approved afterwards; asked again, it is another one."""
    asked = await flow.ask()
    assert await flow.decide(asked.approval_id, agreed=False) == ApprovalStatus.REFUSED
    assert await flow.use() is False
    assert await flow.decide(asked.approval_id, by="eve") == "approval_refused"
    assert (await flow.ask()).approval_id != asked.approval_id


async def test_an_approval_runs_out(flow: ApprovalFlow) -> None:
    """Undecided it can no longer be decided, decided it can no longer be used; both at its end."""
    first = await flow.ask()
    flow.clock.advance(approvals.LIFETIME.total_seconds())
    assert await flow.decide(first.approval_id) == "approval_refused"
    second = await flow.ask()
    assert second.approval_id != first.approval_id
    flow.clock.advance(approvals.LIFETIME.total_seconds() - 1)
    assert await flow.decide(second.approval_id) == ApprovalStatus.APPROVED
    flow.clock.advance(1)
    assert await flow.use() is False


async def test_asking_again_asks_for_nothing_more(flow: ApprovalFlow, db: "RefpayDb") -> None:
    """The same command is one approval for as long as it waits; a changed one is another."""
    assert (await flow.ask()).approval_id == (await flow.ask()).approval_id
    assert (await flow.ask(replace(COMMAND, content={}))).approval_id != (await flow.ask()).approval_id
    assert len(await db.rows("SELECT 1 FROM identity.approval")) == 2
    assert len(await db.rows("SELECT 1 FROM audit.event")) == 2


async def test_of_two_uses_at_once_one_works(flow: ApprovalFlow) -> None:
    """The row's lock decides."""
    assert await flow.decide((await flow.ask()).approval_id) == ApprovalStatus.APPROVED
    assert sorted(await asyncio.gather(*(flow.use() for _ in range(4)))) == [False, False, False, True]


async def test_of_two_decisions_at_once_one_counts(flow: ApprovalFlow) -> None:
    """Approved and refused at the same time is one of them."""
    asked = await flow.ask()
    answers = await asyncio.gather(
        flow.decide(asked.approval_id), flow.decide(asked.approval_id, by="eve", agreed=False)
    )
    assert sorted(answers) in (["approval_refused", "approved"], ["approval_refused", "refused"])


async def test_what_waits_is_shown_with_all_that_it_means(flow: ApprovalFlow) -> None:
    """Whoever approves sees the whole command; what is decided or has run out is not shown."""
    old = await flow.ask(replace(COMMAND, action="old"))
    flow.clock.advance(approvals.LIFETIME.total_seconds() - 1)
    decided = await flow.ask(replace(COMMAND, action="decided"))
    await flow.decide(decided.approval_id)
    asked = await flow.ask()
    flow.clock.advance(1)
    async with flow.database.transaction() as connection:
        pending = await approvals.read_pending(connection, flow.clock.now())
    assert [one.approval_id for one in pending] == [asked.approval_id]
    shown = pending[0]
    assert (shown.content, shown.requested_by, shown.reason) == (COMMAND.content, "ann", "why not")
    assert await flow.decide(old.approval_id) == "approval_refused"
    assert await flow.decide(UUID(int=0)) == "approval_unknown"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {} SET status = 'approved', decided_by = requested_by, decided_at = requested_at",
        "UPDATE {} SET status = 'approved'",
        "UPDATE {} SET status = 'used', decided_by = 'b', decided_at = requested_at, used_at = requested_at",
        "UPDATE {} SET status = 'approved', decided_by = 'bob', decided_at = expires_at",
        "UPDATE {} SET content = '{{}}'",
        "UPDATE {} SET expires_at = expires_at + interval '1 day'",
        "UPDATE {} SET requested_by = 'eve'",
        "DELETE FROM {}",
        "TRUNCATE {}",
    ],
)
async def test_the_database_itself_refuses_a_bent_approval(
    flow: ApprovalFlow, db: "RefpayDb", statement: str
) -> None:
    """Even its owner cannot approve his own, skip the approval, change what was asked, or delete it."""
    await flow.ask()
    for role in ("refpay_app", "refpay_owner"):
        with pytest.raises(
            (asyncpg.RestrictViolationError, asyncpg.CheckViolationError, asyncpg.InsufficientPrivilegeError)
        ):
            await db.rows(statement.format("identity.approval"), role=role)


async def test_a_used_approval_stays_used(flow: ApprovalFlow, db: "RefpayDb") -> None:
    """Not even by hand."""
    await flow.decide((await flow.ask()).approval_id)
    assert await flow.use()
    with pytest.raises(asyncpg.RestrictViolationError):
        await db.rows("UPDATE identity.approval SET status = 'approved', used_at = NULL", role="refpay_owner")


def test_the_lifetime_is_minutes() -> None:
    """Long enough to look, too short to be forgotten about."""
    assert timedelta(minutes=5) <= approvals.LIFETIME <= timedelta(minutes=30)
