"""Note every operator action of a drill as it is taken: what was asked, when, and what it answered."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from moneypath.runbooks import ActionCall, OperatorAction

_CARD_RANGE: Final = re.compile(r"\d{6}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ActionTaken:
    """One call of an operator action; times are Unix seconds, `answered_at` is None without an answer."""

    name: str
    argument: str
    key: str
    asked_at: float
    answered_at: float | None
    answer: Mapping[str, object]

    @property
    def card_range(self) -> str | None:
        """Return the card range that the action was about, None when neither side names one."""
        named = (self.argument, str(self.answer.get("card_range", "")))
        return next((text for text in named if _CARD_RANGE.fullmatch(text)), None)


@dataclass(slots=True)
class ActionsTaken:
    """The operator actions of one drill, in the order in which they were asked for."""

    now: Callable[[], float] = time.time
    taken: list[ActionTaken] = field(default_factory=list)

    def watch(self, actions: Mapping[str, OperatorAction]) -> Mapping[str, OperatorAction]:
        """Return the same actions, each of which is noted when it is run."""
        return {name: _Watched(action, self) for name, action in actions.items()}

    def next_asked(self, after: ActionTaken, name: str) -> float | None:
        """Return when the action `name` was next asked for, with the same argument."""
        later = self.taken[self.taken.index(after) + 1 :]
        same = (one.asked_at for one in later if (one.name, one.argument) == (name, after.argument))
        return next(same, None)

    def last_card_range(self, before: ActionTaken) -> str | None:
        """Return the card range of an action, or of the one before it with the same argument."""
        upto = self.taken[: self.taken.index(before) + 1]
        named = (one.card_range for one in reversed(upto) if one.argument == before.argument)
        return next((card_range for card_range in named if card_range), None)


@dataclass(frozen=True, slots=True)
class _Watched:
    action: OperatorAction
    noted: ActionsTaken

    async def __call__(self, call: ActionCall, /) -> Mapping[str, object]:
        asked_at, answered_at = self.noted.now(), None
        answer: Mapping[str, object] = {}
        try:
            answer = await self.action(call)
            answered_at = self.noted.now()
        finally:
            argument = call.arguments[0] if call.arguments else ""
            self.noted.taken.append(
                ActionTaken(call.name, argument, call.idempotency_key, asked_at, answered_at, answer)
            )
        return answer
