"""Draw from a seed which process is killed when, before anything starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, TypeVar

T = TypeVar("T")


class Process(StrEnum):
    """The processes that are killed, by their names in the stack. The acquirers are witnesses and stay up."""

    API = "refpay-api"
    WORKER = "refpay-worker"
    POSTGRES = "postgres"
    NATS = "nats"


class KillPattern(StrEnum):
    """How a round kills."""

    ALONE = "alone"
    AT_ONCE = "two at once"
    AGAIN = "again while it recovers"


KILLS: Final = {KillPattern.ALONE: 1, KillPattern.AT_ONCE: 2, KillPattern.AGAIN: 2}
# Six kills, every pattern among them.
_PATTERNS: Final = (KillPattern.ALONE, KillPattern.ALONE, KillPattern.AT_ONCE, KillPattern.AGAIN)
_CAPTURES_BEFORE: Final = (5, 25)
_DEAD_SECONDS_MOST: Final = 1.5


@dataclass(frozen=True, slots=True)
class Round:
    """Kill `victims` after `captures_before` further captures, and restart them after `dead_seconds`.

    `second_kill_at` is the time of a second kill during recovery, as a share of the last recovery time.
    """

    pattern: KillPattern
    victims: tuple[Process, ...]
    captures_before: int
    dead_seconds: float
    second_kill_at: float

    @property
    def kills(self) -> int:
        """Return the number of SIGKILLs."""
        return KILLS[self.pattern]


def draw(kills: int, seed: int, processes: Sequence[Process] = tuple(Process)) -> tuple[Round, ...]:
    """Return rounds with exactly `kills` kills; processes and patterns are about equally frequent.

    The same seed draws the same rounds, but not which payments they hit.
    """
    random = Random(seed)  # noqa: S311 - a schedule, not a secret
    patterns, victims = _deal(random, _PATTERNS), _deal(random, processes)
    rounds: list[Round] = []
    left = kills
    while left:
        pattern = next(patterns)
        if KILLS[pattern] > left or (pattern is KillPattern.AT_ONCE and len(set(processes)) < 2):
            pattern = KillPattern.ALONE
        chosen: tuple[Process, ...] = (next(victims),)
        if pattern is KillPattern.AT_ONCE:
            chosen = (*chosen, next(each for each in victims if each is not chosen[0]))
        rounds.append(
            Round(
                pattern=pattern,
                victims=chosen,
                captures_before=random.randint(*_CAPTURES_BEFORE),
                dead_seconds=round(random.uniform(0, _DEAD_SECONDS_MOST), 2),
                second_kill_at=round(random.uniform(0.1, 0.9), 2),
            )
        )
        left -= KILLS[pattern]
    return tuple(rounds)


def _deal(random: Random, cards: Sequence[T]) -> Iterator[T]:
    """Yield all items in random order, again and again."""
    while True:
        yield from random.sample(cards, len(cards))
