"""A simulated provider with a book by key; the scheduler decides the fate of each call."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from proofs.simulation.process import Process
from proofs.simulation.scheduler import Scheduler

from refpay.providers.errors import ProviderOutcomeUnknown, ProviderRefused
from refpay.providers.port import Answer, Call, CallKind, DeclineCode, ProviderResult

# A request may be delayed, but less than refpay waits before it believes "unknown key".
LATE_SECONDS: Final = (0.05, 0.5, 0.9)
_FAULTS: Final = ("refused", "declined", "lost", "unanswered", "late", "twice", "dies here", "away")
_UNAVAILABLE_SECONDS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Effect:
    """An operation that the provider carried out."""

    kind: CallKind
    amount_minor: int
    currency: str
    reference: str
    beneficiary: str


@dataclass(slots=True, eq=False)
class Book:
    """The operations that one provider carried out or declined, by key. A key never has two effects."""

    name: str
    scheduler: Scheduler
    done: dict[UUID, Effect] = field(default_factory=dict)
    declined: set[UUID] = field(default_factory=set)
    unavailable_until: float = 0.0
    on_execute: "Callable[[Book, Call], None]" = lambda _book, _call: None
    _in_transit: list[Call] = field(default_factory=list)

    def execute_later(self, call: Call, seconds: float) -> None:
        """Carry out a call after a delay."""
        self._in_transit.append(call)
        self.scheduler.loop.call_later(seconds, self._arrive, call)

    def _arrive(self, call: Call) -> None:
        if call in self._in_transit:
            self._in_transit.remove(call)
            self.execute(call, decline=False)

    def deliver_in_transit(self) -> None:
        """Carry out all delayed calls at once: a clock jump does not delay messages."""
        while self._in_transit:
            self._arrive(self._in_transit[0])

    def execute(self, call: Call, *, decline: bool) -> Answer:
        """Carry out a call, unless its key is in the book."""
        if call.key not in self.done and call.key not in self.declined:
            assert call.money is not None, "what moves money has an amount"  # noqa: S101 - narrows the type
            if decline:
                self.declined.add(call.key)
            else:
                self.scheduler.note(
                    f"{self.name} does {call.kind} {call.money.amount_minor} under {call.key}"
                )
                money = call.money
                self.done[call.key] = Effect(
                    call.kind, money.amount_minor, money.currency.value, call.reference, call.beneficiary
                )
            self.on_execute(self, call)
        return self.answer_for(call.key)

    def answer_for(self, key: UUID) -> Answer:
        """Return the answer for a key."""
        if key in self.declined:
            return Answer(ProviderResult.DECLINED, decline_code=DeclineCode.DO_NOT_HONOR)
        if key in self.done:
            return Answer(ProviderResult.DONE, provider_reference=f"ref-{key}")
        return Answer(ProviderResult.UNKNOWN_KEY)


class SimulatedProvider:
    """The provider as one incarnation of one process calls it."""

    def __init__(self, book: Book, process: Process) -> None:
        self._book, self._process, self._incarnation = book, process, process.incarnation
        self._scheduler = book.scheduler
        self.name = book.name

    def require_closed(self) -> None:
        """Accept every call."""

    async def perform(self, call: Call) -> Answer:
        """Carry out a call and answer it, unless the scheduler injects a fault."""
        self._process.check(self._incarnation)
        scheduler, book = self._scheduler, self._book
        who = f"{self._process.name} -> {self.name} {call.kind} {str(call.key)[-6:]}"
        try:
            await scheduler.wait_for_turn(f"{who} arrives", self._process)
        except BaseException:
            # The caller is gone, but the request may still be in transit.
            if call.kind is not CallKind.QUERY and scheduler.random.random() < 0.5:
                book.execute_later(call, LATE_SECONDS[1])
            raise
        self._process.check(self._incarnation)
        fault = (
            scheduler.random.choice(_FAULTS) if scheduler.chance(scheduler.fault_rates.provider) else "done"
        )
        if fault == "away":
            book.unavailable_until = scheduler.loop.time() + _UNAVAILABLE_SECONDS
        if not scheduler.healed and scheduler.loop.time() < book.unavailable_until:
            # For all callers and for a while, so that a retry is refused too.
            fault = "refused"
        if fault != "done":
            scheduler.note(f"{who}: {fault}")
        if call.kind is CallKind.QUERY:
            if fault in ("refused", "lost", "unanswered", "late"):
                raise ProviderOutcomeUnknown(fault)
            answer = book.answer_for(call.key)
        else:
            answer = self._execute(call, fault)
        await scheduler.wait_for_turn(f"{who} is answered: {answer.result}")
        self._process.check(self._incarnation)
        return answer

    def _execute(self, call: Call, fault: str) -> Answer:
        match fault:
            case "refused":
                raise ProviderRefused("503")
            case "lost":
                raise ProviderOutcomeUnknown("lost on its way there")
            case "late":
                self._book.execute_later(call, self._scheduler.random.choice(LATE_SECONDS))
                raise ProviderOutcomeUnknown("on its way still")
            case "unanswered":
                self._book.execute(call, decline=False)
                raise ProviderOutcomeUnknown("lost on its way back")
            case "dies here":
                self._book.execute(call, decline=False)
                self._process.kill()
                self._process.check(self._incarnation)
            case "twice":
                self._book.execute(call, decline=False)
        return self._book.execute(call, decline=fault == "declined")
