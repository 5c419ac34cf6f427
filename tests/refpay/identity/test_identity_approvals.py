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
from refpay.identity.approvals import Approval, Asker, Stage, Wish

if TYPE_CHECKING:
    from tests.refpay.conftest import Book
    from tests.refpay.identity.conftest import HandClock

    from refpay.settings import Settings

WISH = Wish("payout.create", SubjectKind.PAYMENT, "shop", {"amount_minor": 5000, "currency": "EUR"})


@dataclass(slots=True)
class Desk:
    """Approvals in a database of a test's own, at a clock that the test sets."""

    database: Database
    clock: "HandClock"

    def person(self, name: str) -> Asker:
        """Return somebody who acts now."""
        return Asker(name, f"request-of-{name}", self.clock.now())

    async def ask(self, wish: Wish = WISH, by: str = "ann") -> Approval:
        """Ask for something."""
        async with self.database.transaction() as connection:
            return await approvals.ask(connection, wish, self.person(by), reason="why not")

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

    async def use(self, wish: Wish = WISH, by: str = "ann") -> bool:
        """Use what is open for a wish, as whoever carries it out does."""
        async with self.database.transaction() as connection:
            found = await approvals.find_open(connection, wish, self.person(by))
            return found is not None and await approvals.use(connection, found, wish, self.person(by))


@pytest_asyncio.fixture(loop_scope="session")
async def desk(settings: "Settings", make_clock: Callable[[], "HandClock"]) -> AsyncIterator[Desk]:
    """Open a desk."""
    database = await Database.connect(settings.database, most_connections=4)
    yield Desk(database, make_clock())
    await database.close()


async def test_another_person_approves_and_it_is_done_once(desk: Desk, book: "Book") -> None:
    """Asked, approved, used; each audited in its own transaction with who and what."""
    asked = await desk.ask()
    assert (asked.status, await desk.use()) == (Stage.PENDING, False)
    assert await desk.decide(asked.approval_id) == Stage.APPROVED
    assert [await desk.use(), await desk.use()] == [True, False]
    rows = await book.rows("SELECT actor, action, after ->> 'fingerprint' AS f FROM audit.event ORDER BY seq")
    assert [(row["actor"], row["action"]) for row in rows] == [
        ("ann", "approval.requested"),
        ("bob", "approval.approved"),
        ("ann", "approval.used"),
    ]
    assert {row["f"] for row in rows} == {WISH.fingerprint.hex()}


async def test_nobody_approves_what_he_asked_for(desk: Desk) -> None:
    """Nor refuses it; another one still can."""
    asked = await desk.ask()
    for agreed in (True, False):
        assert await desk.decide(asked.approval_id, by="ann", agreed=agreed) == "second_person_needed"
    assert await desk.use() is False
    assert await desk.decide(asked.approval_id) == Stage.APPROVED


@pytest.mark.parametrize(
    "changed",
    [
        {"content": {"amount_minor": 5001, "currency": "EUR"}},
        {"content": {"amount_minor": 5000, "currency": "USD"}},
        {"content": {"amount_minor": "5000", "currency": "EUR"}},
        {"content": {}},
    ],
)
async def test_what_was_approved_is_exactly_that(desk: Desk, changed: dict[str, Any]) -> None:
    """Another amount or currency needs another approval; the approved one is not lost by trying."""
    assert await desk.decide((await desk.ask()).approval_id) == Stage.APPROVED
    assert await desk.use(replace(WISH, **changed)) is False
    assert await desk.use() is True


@pytest.mark.parametrize(
    "other",
    [
        replace(WISH, action="other"),
        replace(WISH, subject_id="rival"),
        replace(WISH, subject_kind=SubjectKind.PROVIDER),
    ],
)
async def test_an_approval_is_found_only_for_its_action_and_subject(desk: Desk, other: Wish) -> None:
    """And its fingerprint holds them too."""
    assert await desk.decide((await desk.ask()).approval_id) == Stage.APPROVED
    assert await desk.use(other) is False
    assert other.fingerprint != WISH.fingerprint


async def test_an_approval_is_its_askers_alone(desk: Desk) -> None:
    """Neither the one who approved nor a third can use it."""
    assert await desk.decide((await desk.ask()).approval_id) == Stage.APPROVED
    for name in ("bob", "eve"):
        assert await desk.use(by=name) is False


async def test_a_refusal_is_final(desk: Desk) -> None:
    """It cannot be used nor approved afterwards; asked again, it is another one."""
    asked = await desk.ask()
    assert await desk.decide(asked.approval_id, agreed=False) == Stage.REFUSED
    assert await desk.use() is False
    assert await desk.decide(asked.approval_id, by="eve") == "approval_refused"
    assert (await desk.ask()).approval_id != asked.approval_id


async def test_an_approval_runs_out(desk: Desk) -> None:
    """Undecided it can no longer be decided, decided it can no longer be used; both at its end."""
    first = await desk.ask()
    desk.clock.advance(approvals.LIFETIME.total_seconds())
    assert await desk.decide(first.approval_id) == "approval_refused"
    second = await desk.ask()
    assert second.approval_id != first.approval_id
    desk.clock.advance(approvals.LIFETIME.total_seconds() - 1)
    assert await desk.decide(second.approval_id) == Stage.APPROVED
    desk.clock.advance(1)
    assert await desk.use() is False


async def test_asking_again_asks_for_nothing_more(desk: Desk, book: "Book") -> None:
    """The same wish is one approval for as long as it waits; a changed one is another."""
    assert (await desk.ask()).approval_id == (await desk.ask()).approval_id
    assert (await desk.ask(replace(WISH, content={}))).approval_id != (await desk.ask()).approval_id
    assert len(await book.rows("SELECT 1 FROM identity.approval")) == 2
    assert len(await book.rows("SELECT 1 FROM audit.event")) == 2


async def test_of_two_uses_at_once_one_works(desk: Desk) -> None:
    """The row's lock decides."""
    assert await desk.decide((await desk.ask()).approval_id) == Stage.APPROVED
    assert sorted(await asyncio.gather(*(desk.use() for _ in range(4)))) == [False, False, False, True]


async def test_of_two_decisions_at_once_one_counts(desk: Desk) -> None:
    """Approved and refused at the same time is one of them."""
    asked = await desk.ask()
    answers = await asyncio.gather(
        desk.decide(asked.approval_id), desk.decide(asked.approval_id, by="eve", agreed=False)
    )
    assert sorted(answers) in (["approval_refused", "approved"], ["approval_refused", "refused"])


async def test_what_waits_is_shown_with_all_that_it_means(desk: Desk) -> None:
    """Whoever approves sees the whole wish; what is decided or has run out is not shown."""
    old = await desk.ask(replace(WISH, action="old"))
    desk.clock.advance(approvals.LIFETIME.total_seconds() - 1)
    decided = await desk.ask(replace(WISH, action="decided"))
    await desk.decide(decided.approval_id)
    asked = await desk.ask()
    desk.clock.advance(1)
    async with desk.database.transaction() as connection:
        pending = await approvals.read_pending(connection, desk.clock.now())
    assert [one.approval_id for one in pending] == [asked.approval_id]
    shown = pending[0]
    assert (shown.content, shown.requested_by, shown.reason) == (WISH.content, "ann", "why not")
    assert await desk.decide(old.approval_id) == "approval_refused"
    assert await desk.decide(UUID(int=0)) == "approval_unknown"


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
async def test_the_database_itself_refuses_a_bent_approval(desk: Desk, book: "Book", statement: str) -> None:
    """Even its owner cannot approve his own, skip the approval, change what was asked, or delete it."""
    await desk.ask()
    for role in ("refpay_app", "refpay_owner"):
        with pytest.raises(
            (asyncpg.RestrictViolationError, asyncpg.CheckViolationError, asyncpg.InsufficientPrivilegeError)
        ):
            await book.rows(statement.format("identity.approval"), role=role)


async def test_a_used_approval_stays_used(desk: Desk, book: "Book") -> None:
    """Not even by hand."""
    await desk.decide((await desk.ask()).approval_id)
    assert await desk.use()
    with pytest.raises(asyncpg.RestrictViolationError):
        await book.rows(
            "UPDATE identity.approval SET status = 'approved', used_at = NULL", role="refpay_owner"
        )


def test_the_lifetime_is_minutes() -> None:
    """Long enough to look, too short to be forgotten about."""
    assert timedelta(minutes=5) <= approvals.LIFETIME <= timedelta(minutes=30)
