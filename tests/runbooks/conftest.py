"""A small page that can be bent, a payment service of two fakes, a clock that moves when slept on."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from moneypath.prometheus import Sample
from moneypath.runbooks import (
    ActionCall,
    Execution,
    ExecutionContext,
    LintIssue,
    OperatorAction,
    PendingUndos,
    Runbook,
    StepEvent,
    execute,
    lint,
    load,
    undo,
)

PAGE = """\
---
id: small-page
title: Small page
version: 1
owner_role: ops
severity: critical
triggers: [SmallAlert]
roles:
  ops: {page: true, ack: 5m}
first_hour:
  - {by: 5m, role: ops, do: "Begin at step 1.", evidence: "acknowledgement"}
do_not: ["Guess."]
comms: []
regulatory: []
exit_criteria: ["Step 4 is satisfied."]
drills: [drill-001-small]
review: {every_days: 90, last: 2026-11-22}
---

## What it is

A provider fails.

## What it costs

Money.

## Confirm

```yaml
step: 1
id: confirm
type: check
role: ops
title: "{provider} fails"
query: ['bad_ratio{provider="{provider}"}']
expect: {value: ">= 0.0144"}
within: 30s
```

## Stop the bleeding

```yaml
step: 2
id: drain
type: mitigate
role: ops
title: "Drain {provider}"
action: [provider.drain, "{provider}"]
expect: {routing_active: false}
within: 30s
undo: [provider.restore, "{provider}"]
```

```yaml
step: 3
id: stopped
type: check
role: ops
title: Harm has stopped
query: [harm_ratio]
expect: {value: "< 0.0144", for: 30s, evidence: {min: 20, query: sum(payments_total)}}
within: 5m
```

## Quantify

Count.

## Decide

Nobody.

## Repair

Wait.

## Verify

```yaml
step: 4
id: whole
type: verify
role: ops
title: The ledger is whole
query: [unbalanced]
expect: {value: "== 0"}
within: 30s
```

## Escalate

Call somebody.
"""

ACTION_NAMES = ("provider.drain", "provider.restore")


@dataclass(slots=True)
class Book:
    """Writes the small page with some texts replaced, each of which must be there."""

    folder: Path

    def write(self, *changes: tuple[str, str], name: str = "small-page.md") -> Path:
        """Write the page; each change replaces its first occurrence."""
        text = PAGE
        for old, new in changes:
            assert old in text, f"the page does not hold {old!r}"
            text = text.replace(old, new, 1)
        file = self.folder / name
        file.write_text(text, encoding="utf-8")
        return file

    def load(self, *changes: tuple[str, str]) -> Runbook:
        """Return the changed page."""
        return load(self.write(*changes))

    def line(self, text: str) -> int:
        """Return the number of the first line of the written page that holds `text`."""
        lines = (self.folder / "small-page.md").read_text(encoding="utf-8").splitlines()
        return next(number for number, line in enumerate(lines, start=1) if text in line)

    def lint(self, *changes: tuple[str, str], **given: Any) -> list[LintIssue]:
        """Lint the changed page among names that it knows, unless told otherwise."""
        known: dict[str, Any] = {
            "known_alerts": {"SmallAlert"},
            "known_roles": {"ops", "eng"},
            "known_actions": set(ACTION_NAMES),
            "known_series": {"bad_ratio", "harm_ratio", "payments_total", "unbalanced"},
            "drills": {"drill-001-small"},
            "today": date(2026, 12, 1),
            "last_passed": {"drill-001-small": date(2026, 11, 30)},
        }
        return lint(self.load(*changes), **{**known, **given})


class FakeClock:
    """Moves only when slept on."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Return the seconds slept so far."""
        return self.now

    async def sleep(self, seconds: float, /) -> None:
        """Move on by `seconds`, and let others run."""
        self.now += seconds
        await asyncio.sleep(0)


@dataclass(slots=True)
class Service:
    """A payment service behind the two ports: one sick provider, routed until it is drained.

    `answers` overrides what a series gives; `broken` names actions that raise, after their effect when
    `effect_first`; `noop` names actions that answer well and do nothing; `hang` names actions and series
    that never answer.
    """

    clock: FakeClock = field(default_factory=FakeClock)
    routed: bool = True
    answers: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, BaseException] = field(default_factory=dict)
    effect_first: bool = True
    noop: set[str] = field(default_factory=set)
    hang: set[str] = field(default_factory=set)
    already: bool = False
    calls: list[ActionCall] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    events: list[StepEvent] = field(default_factory=list)
    pending_undos: PendingUndos = field(default_factory=PendingUndos)

    async def query(self, promql: str, /) -> Sequence[Sample]:
        """Answer by the name that the query begins with."""
        self.asked.append(promql)
        await asyncio.sleep(0)
        name = promql.removeprefix("sum(").rstrip(")").split("{")[0]
        if name in self.hang:
            self.clock.now += 1000
            await asyncio.Event().wait()
        defaults = {
            "bad_ratio": 0.2,
            "harm_ratio": 0.1 if self.routed else 0.0,
            "payments_total": 1000 + self.clock.now,
            "unbalanced": 0.0,
        }
        answer = self.answers.get(name, defaults.get(name, math.nan))
        if callable(answer):
            answer = answer()
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, list):
            return answer
        return [Sample({"provider": "north"}, float(answer))]

    def actions(self) -> Mapping[str, OperatorAction]:
        """Return the two actions."""
        return dict.fromkeys(ACTION_NAMES, self._pull)

    async def _pull(self, call: ActionCall, /) -> Mapping[str, object]:
        self.calls.append(call)
        self.called.set()
        if call.name in self.hang:
            await asyncio.Event().wait()
        wanted = call.name == "provider.restore"
        if call.name in self.broken and not self.effect_first:
            raise self.broken[call.name]
        if call.name not in self.noop:
            self.routed = wanted
        if call.name in self.broken:
            raise self.broken[call.name]
        return {"provider": call.arguments[0], "routing_active": wanted, "changed": not self.already}

    def context(self, **given: Any) -> ExecutionContext:
        """Return a context for an alert of provider north."""
        return ExecutionContext(**{"labels": {"provider": "north"}, "incident": "inc-1", **given})

    async def run(self, runbook: Runbook, **given: Any) -> Execution:
        """Follow the page, recording into `events`."""
        return await execute(
            runbook,
            context=self.context(**given),
            actions=self.actions(),
            query=self.query,
            record=self.events.append,
            clock=self.clock,
            pending_undos=self.pending_undos,
        )

    async def undo(self, execution: Execution | None = None) -> bool:
        """Take back what is in force."""
        return await undo(
            execution or self.pending_undos,
            context=self.context(),
            actions=self.actions(),
            record=self.events.append,
            clock=self.clock,
        )


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """A page in a folder of its own."""
    return Book(tmp_path)


@pytest.fixture
def service() -> Service:
    """A payment service with one sick provider."""
    return Service()
