"""Which process dies when: drawn from a seed before anything starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, TypeVar

T = TypeVar("T")


class Process(StrEnum):
    """What is killed, by its name in the stack; the acquirers are witnesses and stay alive."""

    API = "refpay-api"
    WORKER = "refpay-worker"
    POSTGRES = "postgres"
    NATS = "nats"


class Form(StrEnum):
    """How a round kills."""

    ALONE = "alone"
    AT_ONCE = "two at once"
    AGAIN = "again while it recovers"


KILLS: Final = {Form.ALONE: 1, Form.AT_ONCE: 2, Form.AGAIN: 2}
# Six kills, every form among them.
_HAND: Final = (Form.ALONE, Form.ALONE, Form.AT_ONCE, Form.AGAIN)
_CAPTURES_BEFORE: Final = (5, 25)
_DEAD_SECONDS_MOST: Final = 1.5


@dataclass(frozen=True, slots=True)
class Round:
    """Kill `victims` after so many further captures, and leave them dead for so long.

    `again_at` is when the second kill of a recovery comes, as a share of how long the last one took.
    """

    form: Form
    victims: tuple[Process, ...]
    captures_before: int
    dead_seconds: float
    again_at: float

    @property
    def kills(self) -> int:
        """Return how many SIGKILLs it sends."""
        return KILLS[self.form]


def draw(kills: int, seed: int, processes: Sequence[Process] = tuple(Process)) -> tuple[Round, ...]:
    """Return rounds with exactly `kills` kills; processes and forms come up about equally often.

    The same seed draws the same rounds. When a payment meets them is up to the machine.
    """
    random = Random(seed)  # noqa: S311 - a schedule, not a secret
    forms, victims = _deal(random, _HAND), _deal(random, processes)
    rounds: list[Round] = []
    left = kills
    while left:
        form = next(forms)
        if KILLS[form] > left or (form is Form.AT_ONCE and len(set(processes)) < 2):
            form = Form.ALONE
        chosen: tuple[Process, ...] = (next(victims),)
        if form is Form.AT_ONCE:
            chosen = (*chosen, next(each for each in victims if each is not chosen[0]))
        rounds.append(
            Round(
                form=form,
                victims=chosen,
                captures_before=random.randint(*_CAPTURES_BEFORE),
                dead_seconds=round(random.uniform(0, _DEAD_SECONDS_MOST), 2),
                again_at=round(random.uniform(0.1, 0.9), 2),
            )
        )
        left -= KILLS[form]
    return tuple(rounds)


def _deal(random: Random, cards: Sequence[T]) -> Iterator[T]:
    """Deal the cards over and over, shuffled anew each time."""
    while True:
        yield from random.sample(cards, len(cards))
