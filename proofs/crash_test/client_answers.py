"""What the client saw: its progress during a run, and the totals of its acknowledgement log."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final, NoReturn

from proofs.crash_test.errors import CrashTestFailed
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_delay, wait_fixed

from moneypath.oracle import Acknowledgement, Operation
from moneypath.outcomes import DEFINITIVE, Outcome

_UNSURE: Final = frozenset((Outcome.UNKNOWN, Outcome.INDETERMINATE, Outcome.UNPROCESSED))
_READ_EVERY_SECONDS: Final = 0.05


@dataclass(slots=True)
class AcknowledgementTail:
    """Follows a growing acknowledgement log and counts the captures that were acknowledged."""

    file: Path
    captures: int = 0
    _offset: int = 0
    _keys: set[str] = field(default_factory=set)

    def read(self) -> int:
        """Read the new lines and return all captures so far; an unfinished line is left for the next call."""
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
        told = row["operation"] == Operation.CAPTURE and row.get("outcome") == Outcome.SUCCEEDED
        if told and isinstance(key, str) and key not in self._keys:
            self._keys.add(key)
            self.captures += 1

    async def await_captures(self, further: int, patience_seconds: float) -> None:
        """Wait until `further` more payments are captured; raises CrashTestFailed when that takes too
        long.
        """
        wanted = self.read() + further

        def give_up(_: RetryCallState) -> NoReturn:
            raise CrashTestFailed(
                f"payments do not go on: {wanted - self.captures} of {further} captures are missing "
                f"after {patience_seconds:g} s",
                hint="Read the logs in the run folder.",
            )

        async def is_reached() -> bool:
            return self.read() >= wanted

        await AsyncRetrying(
            retry=retry_if_result(lambda reached: not reached),
            wait=wait_fixed(_READ_EVERY_SECONDS),
            stop=stop_after_delay(patience_seconds),
            retry_error_callback=give_up,
        )(is_reached)


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """The totals of the client's acknowledgement log.

    `unanswered` requests got no answer, `unsure` ones an answer that is not definitive. `resolved_later`
    counts keys whose first answer was not definitive but a later one was; `open_keys` those without a
    definitive answer.
    """

    sent: int
    answered: int
    unanswered: int
    unsure: int
    keys: int
    resolved_later: int
    open_keys: int
    longest_silence_seconds: float


def count_requests(answers: Sequence[Acknowledgement]) -> RequestCounts:
    """Count requests by their answers, in the order in which they were answered."""
    by_key: dict[tuple[Operation, str], list[Outcome]] = defaultdict(list)
    for answer in answers:
        by_key[answer.operation, answer.idempotency_key].append(answer.outcome)
    unanswered = sum(answer.status_code == 0 for answer in answers)
    unsure = sum(answer.outcome in _UNSURE for answer in answers)
    promised = [key for key, outcomes in by_key.items() if DEFINITIVE.intersection(outcomes)]
    told = [answer.at for answer in answers if answer.outcome is Outcome.SUCCEEDED]
    gaps = [later - sooner for sooner, later in pairwise(told)]
    return RequestCounts(
        sent=len(answers),
        answered=len(answers) - unanswered,
        unanswered=unanswered,
        unsure=unsure - unanswered,
        keys=len(by_key),
        resolved_later=sum(by_key[key][0] not in DEFINITIVE for key in promised),
        open_keys=len(by_key) - len(promised),
        longest_silence_seconds=max(gaps, default=0.0),
    )
