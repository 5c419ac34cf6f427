"""What the client saw: how far it is while it runs, and what its journal adds up to."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from moneypath.oracle import Acknowledgement, Operation, Outcome
from torture.errors import TortureFailed

PROMISES: Final = frozenset((Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.FAILED))
_LOOK_EVERY_SECONDS: Final = 0.05


@dataclass(slots=True)
class Tail:
    """Reads a growing journal once, and counts the captures that the client was told of."""

    file: Path
    captures: int = 0
    _offset: int = 0
    _keys: set[str] = field(default_factory=set)

    def read(self) -> int:
        """Read what was added and return all captures so far; an unfinished line is left for later."""
        with self.file.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._count(json.loads(line))
        return self.captures

    def _count(self, row: dict[str, object]) -> None:
        key = row["idempotency_key"]
        told = row["operation"] == Operation.CAPTURE and row["outcome"] == Outcome.SUCCEEDED
        if told and isinstance(key, str) and key not in self._keys:
            self._keys.add(key)
            self.captures += 1

    async def await_captures(self, further: int, patience_seconds: float) -> None:
        """Wait until so many further payments were captured; raises TortureFailed when it takes too long."""
        wanted, deadline = self.read() + further, time.monotonic() + patience_seconds
        while self.read() < wanted:
            if time.monotonic() > deadline:
                raise TortureFailed(
                    f"payments do not go on: {wanted - self.captures} of {further} captures are missing "
                    f"after {patience_seconds:g} s",
                    hint="See the logs in the run's folder.",
                )
            await asyncio.sleep(_LOOK_EVERY_SECONDS)


@dataclass(frozen=True, slots=True)
class Requests:
    """What the client's journal adds up to.

    `unanswered` got no answer at all, `unsure` one that promises nothing. `settled_later` counts the keys
    that were promised something, but not at first; `open_keys` those that never were.
    """

    sent: int
    answered: int
    unanswered: int
    unsure: int
    keys: int
    settled_later: int
    open_keys: int
    longest_silence_seconds: float


def add_up(answers: Sequence[Acknowledgement]) -> Requests:
    """Count requests by what became of them, in the order they were answered."""
    by_key: dict[tuple[Operation, str], list[Outcome]] = defaultdict(list)
    for answer in answers:
        by_key[answer.operation, answer.idempotency_key].append(answer.outcome)
    unanswered = sum(answer.status_code == 0 for answer in answers)
    unsure = sum(answer.outcome in (Outcome.UNKNOWN, Outcome.INDETERMINATE) for answer in answers)
    promised = [key for key, outcomes in by_key.items() if PROMISES.intersection(outcomes)]
    told = [answer.at for answer in answers if answer.outcome is Outcome.SUCCEEDED]
    gaps = [later - sooner for sooner, later in pairwise(told)]
    return Requests(
        sent=len(answers),
        answered=len(answers) - unanswered,
        unanswered=unanswered,
        unsure=unsure - unanswered,
        keys=len(by_key),
        settled_later=sum(by_key[key][0] not in PROMISES for key in promised),
        open_keys=len(by_key) - len(promised),
        longest_silence_seconds=max(gaps, default=0.0),
    )
