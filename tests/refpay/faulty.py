"""A faulty provider with its own book, a virtual clock, and a database whose process may die."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

from refpay.db.pool import Connection, Database
from refpay.money import Currency
from refpay.providers.errors import ProviderOutcomeUnknown, ProviderRefused
from refpay.providers.port import Answer, Call, CallKind, DeclineCode, ProviderResult


class Fate(StrEnum):
    """What happens to a call."""

    DONE = "done"
    DECLINED = "declined"
    REFUSED = "refused"
    SILENT_AFTER = "silent after doing it"
    SILENT_BEFORE = "silent without doing it"
    LATE = "silent, and done much later"
    DIED_AFTER = "the caller died after it was done"
    DIED_BEFORE = "the caller died before it was done"


class ProcessDied(BaseException):
    """Stands for a SIGKILL: nothing runs after it, and nothing catches it."""


@dataclass
class VirtualClock:
    """A clock that is set by the test, backwards too."""

    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the instant."""
        return self.at

    def monotonic(self) -> float:
        """Return the seconds."""
        return self.at.timestamp()


@dataclass(frozen=True)
class Effect:
    """What a provider did under a key."""

    kind: CallKind
    amount: int
    currency: Currency
    parent: str


@dataclass
class FaultyProvider:
    """Keeps its own book of what it did, by key, and meets the fate it is given.

    It refuses what its own book does not allow: more than it holds, more than it captured.
    """

    name: str
    fate: Fate = Fate.DONE
    book: dict[UUID, Effect] = field(default_factory=dict)
    refused: set[UUID] = field(default_factory=set)
    declined: set[UUID] = field(default_factory=set)
    late: dict[UUID, Call] = field(default_factory=dict)
    calls: Counter[UUID] = field(default_factory=Counter)
    # What is done as soon as it is asked, whatever the fate: a test's own answer.
    answer: Callable[[Call], Awaitable[Answer]] | None = None

    def require_closed(self) -> None:
        """Take every call."""

    async def perform(self, call: Call) -> Answer:
        """Perform the call or not, and answer or not."""
        # A real call lets others run.
        await asyncio.sleep(0)
        if call.kind is CallKind.QUERY:
            if self.fate in (Fate.REFUSED, Fate.SILENT_BEFORE):
                raise ProviderOutcomeUnknown("query")
            return self.known(call.key) or Answer(ProviderResult.UNKNOWN_KEY)
        self.calls[call.key] += 1
        if self.answer is not None:
            return await self.answer(call)
        if (known := self.known(call.key)) is not None:
            return known
        self._meet_before(call)
        if self.fate is Fate.DECLINED:
            self.declined.add(call.key)
        else:
            self.do(call)
        if self.fate is Fate.SILENT_AFTER:
            raise ProviderOutcomeUnknown("lost on the way back")
        if self.fate is Fate.DIED_AFTER:
            raise ProcessDied
        answer = self.known(call.key)
        assert answer is not None
        return answer

    def _meet_before(self, call: Call) -> None:
        match self.fate:
            case Fate.REFUSED:
                raise ProviderRefused("503")
            case Fate.SILENT_BEFORE:
                raise ProviderOutcomeUnknown("lost on the way there")
            case Fate.DIED_BEFORE:
                raise ProcessDied
            case Fate.LATE:
                self.late[call.key] = call
                raise ProviderOutcomeUnknown("still on its way")

    def do(self, call: Call) -> None:
        """Perform the call if the book allows it."""
        self.late.pop(call.key, None)
        if call.key in self.book or call.key in self.refused or call.key in self.declined:
            return
        assert call.money is not None
        if call.money.amount_minor > self._left(call):
            self.refused.add(call.key)
            return
        self.book[call.key] = Effect(call.kind, call.money.amount_minor, call.money.currency, call.parent)

    def arrive(self) -> None:
        """Perform every call that is late."""
        for call in list(self.late.values()):
            self.do(call)

    def known(self, key: UUID) -> Answer | None:
        """Return the answer to a query for a key."""
        if key in self.book:
            return Answer(ProviderResult.DONE, provider_reference=f"ref-{key}")
        if key in self.refused:
            return Answer(ProviderResult.REFUSED)
        if key in self.declined:
            return Answer(ProviderResult.DECLINED, decline_code=DeclineCode.DO_NOT_HONOR)
        return None

    def _left(self, call: Call) -> int:
        if call.kind in (CallKind.AUTHORIZE, CallKind.PAYOUT):
            return 2**63 - 1
        parent = self.book.get(UUID(call.parent.removeprefix("ref-")))
        needed = CallKind.CAPTURE if call.kind is CallKind.REFUND else CallKind.AUTHORIZE
        if parent is None or parent.kind is not needed:
            return 0
        return parent.amount - sum(one.amount for one in self.book.values() if one.parent == call.parent)


class DyingDatabase(Database):
    """Dies at the statement that `fuse` counts down to. COMMIT counts twice: before and after."""

    fuse: int | None = None

    def transaction(self) -> Any:
        """Return a transaction in which the process may die."""
        return _Dying(super().transaction(), self)

    def burn(self) -> None:
        """Count one statement, and die if it is the one."""
        if self.fuse is None:
            return
        self.fuse -= 1
        if self.fuse < 0:
            self.fuse = None
            raise ProcessDied


class _Statements:
    def __init__(self, connection: Connection, database: DyingDatabase) -> None:
        self._connection = connection
        self._database = database

    def __getattr__(self, name: str) -> Any:
        self._database.burn()
        return getattr(self._connection, name)


@dataclass
class _Dying:
    inner: Any
    database: DyingDatabase

    async def __aenter__(self) -> Connection:
        return cast("Connection", _Statements(await self.inner.__aenter__(), self.database))

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            try:
                self.database.burn()
            except ProcessDied as death:
                with suppress(ProcessDied):
                    await self.inner.__aexit__(ProcessDied, death, None)
                raise
        await self.inner.__aexit__(kind, error, trace)
        if error is None:
            self.database.burn()
