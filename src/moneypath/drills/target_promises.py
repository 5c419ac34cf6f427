"""What operator actions of a target promise, as its file says it, and what is counted afterwards."""

import math
import time
from collections.abc import Mapping
from typing import Any, Final

from moneypath.drills.actions_taken import ActionTaken
from moneypath.drills.context import DrillContext
from moneypath.errors import MoneypathError
from moneypath.incidents.timeline import Kind
from moneypath.prometheus import Prometheus
from moneypath.runbooks.promises import Promise, Witness
from moneypath.target.contracts import Action, ActionPromise, Count, PromiseWitness
from moneypath.target.document import TargetFile
from moneypath.target.placeholders import Argument, fill

UNDER_WAY_SECONDS: Final = 5.0
"""Real time: what was under way when an action was answered may still go the old way."""


class CountUnknown(MoneypathError):
    """A promise that nobody could count."""

    code = "count_unknown"


_WITNESSES: Final = {
    PromiseWitness.BOOK: Witness.PROVIDER_BOOK,
    PromiseWitness.LEDGER: Witness.LEDGER,
    PromiseWitness.METRICS: Witness.METRICS,
}


def listed_promises(document: TargetFile) -> dict[str, dict[str, Any]]:
    """Return the promises as the first event of a log lists them."""
    return {
        name: _promise(action, action.promise).plain
        for name, action in document.actions.items()
        if action.promise is not None
    }


async def record_promises(context: DrillContext, prometheus: Prometheus) -> None:
    """Record for every operator action that was answered what its witness counts.

    What cannot be read is recorded as not known, and so as broken.
    """
    ended_at = time.time()
    actions = context.exchange.target.document.actions
    for taken in context.actions_taken.taken:
        action = actions.get(taken.name)
        if taken.answered_at is None or action is None or action.promise is None:
            continue
        found: float | None = None
        evidence: float | None = None
        reason = ""
        try:
            counting = _Counting(context, prometheus, taken, action, ended_at)
            found = await counting.count(action.promise.count)
            if action.promise.evidence is not None:
                evidence = await counting.count(action.promise.evidence.count)
        except MoneypathError as error:
            reason = context.exchange.access.masked(error.what)
        payload = {
            "action": taken.name,
            "argument": taken.argument,
            "key": taken.key,
            "found": found,
            "evidence": evidence,
            "reason": reason,
            "promise": _promise(action, action.promise).plain,
        }
        context.log.append(Kind.PROMISE_CHECKED, taken.name, payload, source="witnesses")


class _Counting:
    """Counts within the time of one promise: from when it was answered to its undo, or the load's end."""

    def __init__(
        self,
        context: DrillContext,
        prometheus: Prometheus,
        taken: ActionTaken,
        action: Action,
        ended_at: float,
    ) -> None:
        asked = context.actions_taken.next_asked(taken, action.undo) if action.undo else None
        # What was under way can break no promise but one of at most so many.
        bounded = action.promise is not None and action.promise.most is not None
        self._since = (taken.answered_at or taken.asked_at) + (UNDER_WAY_SECONDS if bounded else 0.0)
        self._until = ended_at if asked is None else asked
        self._argument = taken.argument
        self._given: dict[str, Argument] = dict(zip(action.arguments, (taken.argument,), strict=False))
        self._prometheus, self._exchange = prometheus, context.exchange

    async def count(self, count: Count) -> float:
        """Return the number; raises CountUnknown when there is none, and what target or Prometheus raise."""
        if self._until <= self._since:
            raise CountUnknown("it was undone, or the load ended, before there was anything to count")
        if count.query is not None:
            return await self._queried(count.query)
        if count.call is None or count.field is None:
            raise CountUnknown("nothing says how to count it")
        times: Mapping[str, Argument] = {"since": round(self._since, 3), "until": round(self._until, 3)}
        place = self._argument if self._argument in self._exchange.target.document.places else None
        answer = await self._exchange.ask(count.call, {**self._given, **times}, place=place)
        number = answer.number(count.field)
        if number is None:
            raise CountUnknown(f"{self._exchange.title(count.call)}: there is no number at {count.field}")
        return number

    async def _queried(self, query: str) -> float:
        window = {"window": max(1, round(self._until - self._since))}
        asked = str(fill(query, {**self._given, **window}))
        values = [sample.value for sample in await self._prometheus.query(asked, at=self._until)]
        # No sample is not 0: the series may be misspelt, or of a service that nobody scrapes.
        if not values or not all(map(math.isfinite, values)):
            raise CountUnknown(f"the query finds {'no number' if values else 'no series'}: {asked}")
        return math.fsum(values)


def _promise(action: Action, declared: ActionPromise) -> Promise:
    evidence = declared.evidence
    # Other braces of the title stand for themselves.
    title = declared.title.replace("{", "{{").replace("}", "}}")
    if action.arguments:
        title = title.replace(f"{{{{{action.arguments[0]}}}}}", "{}")
    return Promise(
        title,
        _WITNESSES[declared.witness],
        least=declared.least,
        most=declared.most,
        until=action.undo or "",
        evidence=evidence.title if evidence else "",
        least_evidence=evidence.least if evidence else 0,
    )
