"""A provider with a book of its own, by key; the schedule decides what becomes of each call."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from refpay.providers.errors import ProviderRefused, ProviderSilent
from refpay.providers.port import Answer, Call, CallKind, DeclineCode, Verdict
from simulation.process import Process
from simulation.world import World

# A request may linger on its way, but less than what refpay waits before it believes "unknown key".
LATE_SECONDS: Final = (0.05, 0.5, 0.9)
_FATES: Final = ("refused", "declined", "lost", "unanswered", "late", "twice", "dies here", "away")
_AWAY_SECONDS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Effect:
    """What the provider did."""

    kind: CallKind
    amount_minor: int
    currency: str
    reference: str
    beneficiary: str


@dataclass(slots=True, eq=False)
class Book:
    """What one provider did and declined, by key: the same key never has two effects."""

    name: str
    world: World
    done: dict[UUID, Effect] = field(default_factory=dict)
    declined: set[UUID] = field(default_factory=set)
    away_until: float = 0.0
    on_act: "Callable[[Book, Call], None]" = lambda _book, _call: None
    _on_their_way: list[Call] = field(default_factory=list)

    def act_late(self, call: Call, seconds: float) -> None:
        """Do it after a while."""
        self._on_their_way.append(call)
        self.world.loop.call_later(seconds, self._arrive, call)

    def _arrive(self, call: Call) -> None:
        if call in self._on_their_way:
            self._on_their_way.remove(call)
            self.act(call, decline=False)

    def all_arrive(self) -> None:
        """Do at once whatever is on its way: a clock that jumps takes no longer to the provider."""
        while self._on_their_way:
            self._arrive(self._on_their_way[0])

    def act(self, call: Call, *, decline: bool) -> Answer:
        """Do it, unless that key was dealt with."""
        if call.key not in self.done and call.key not in self.declined:
            assert call.money is not None, "what moves money has an amount"  # noqa: S101 - narrows the type
            if decline:
                self.declined.add(call.key)
            else:
                self.world.note(f"{self.name} does {call.kind} {call.money.amount_minor} under {call.key}")
                money = call.money
                self.done[call.key] = Effect(
                    call.kind, money.amount_minor, money.currency.value, call.reference, call.beneficiary
                )
            self.on_act(self, call)
        return self.tell(call.key)

    def tell(self, key: UUID) -> Answer:
        """Say what became of a key."""
        if key in self.declined:
            return Answer(Verdict.DECLINED, decline_code=DeclineCode.DO_NOT_HONOR)
        if key in self.done:
            return Answer(Verdict.DONE, provider_reference=f"ref-{key}")
        return Answer(Verdict.UNKNOWN_KEY)


class SimulatedProvider:
    """Speaks to a book for one life of one process."""

    def __init__(self, book: Book, process: Process) -> None:
        self._book, self._process, self._life = book, process, process.life
        self._world = book.world
        self.name = book.name

    def require_closed(self) -> None:
        """Take every call."""

    async def perform(self, call: Call) -> Answer:
        """Do, or not, and answer, or not."""
        self._process.check(self._life)
        world, book = self._world, self._book
        who = f"{self._process.name} -> {self.name} {call.kind} {str(call.key)[-6:]}"
        try:
            await world.turn(f"{who} arrives", self._process)
        except BaseException:
            # Nobody waits for it any more, and it is on its way all the same.
            if call.kind is not CallKind.QUERY and world.random.random() < 0.5:
                book.act_late(call, LATE_SECONDS[1])
            raise
        self._process.check(self._life)
        fate = world.random.choice(_FATES) if world.chance(world.weather.provider) else "done"
        if fate == "away":
            book.away_until = world.loop.time() + _AWAY_SECONDS
        if not world.healed and world.loop.time() < book.away_until:
            # For everybody and for a while, so that a retry is refused too.
            fate = "refused"
        if fate != "done":
            world.note(f"{who}: {fate}")
        if call.kind is CallKind.QUERY:
            if fate in ("refused", "lost", "unanswered", "late"):
                raise ProviderSilent(fate)
            answer = book.tell(call.key)
        else:
            answer = self._act(call, fate)
        await world.turn(f"{who} is answered: {answer.verdict}")
        self._process.check(self._life)
        return answer

    def _act(self, call: Call, fate: str) -> Answer:
        match fate:
            case "refused":
                raise ProviderRefused("503")
            case "lost":
                raise ProviderSilent("lost on its way there")
            case "late":
                self._book.act_late(call, self._world.random.choice(LATE_SECONDS))
                raise ProviderSilent("on its way still")
            case "unanswered":
                self._book.act(call, decline=False)
                raise ProviderSilent("lost on its way back")
            case "dies here":
                self._book.act(call, decline=False)
                self._process.kill()
                self._process.check(self._life)
            case "twice":
                self._book.act(call, decline=False)
        return self._book.act(call, decline=fate == "declined")
