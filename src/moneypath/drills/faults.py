"""Faults as leases in the target: each ends by itself when nobody renews it."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from moneypath.drills.timeline_entry import TimelineEntry
from moneypath.errors import MoneypathError
from moneypath.target.calls import Call
from moneypath.target.contracts import FAULT_ID, Faults
from moneypath.target.document import TargetFile
from moneypath.target.exchange import Answer, Exchange
from moneypath.target.params import complete, param_issues
from moneypath.target.placeholders import Argument

THE_SERVICE = "the service"


class FaultControlFailed(MoneypathError):
    """The target has no such fault, refused it, or did not answer."""

    code = "fault_control_failed"


@dataclass(frozen=True, slots=True)
class _Begun:
    """A fault under way: its calls, where it is, and what its calls are asked with."""

    faults: Faults
    place: str | None
    arguments: Mapping[str, Argument]

    @property
    def where(self) -> str:
        return self.place or THE_SERVICE


class Leases:
    """All faults of one drill: renewed while the block runs, ended however it is left.

    What they are asked with stands in the target's file.
    """

    def __init__(
        self, exchange: Exchange, *, seed: int, lease_seconds: float, on_ended: Callable[[str, str], None]
    ) -> None:
        self._exchange = exchange
        self._seed, self._lease = seed, lease_seconds
        self._on_ended = on_ended
        self._active: dict[str, _Begun] = {}
        self._renewal: asyncio.Task[None] | None = None
        self.lost: FaultControlFailed | None = None

    async def __aenter__(self) -> Self:
        self._renewal = asyncio.create_task(self._renew_until_cancelled(), name="fault leases")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewal
        await self.end(list(self._active))

    async def begin(self, step: TimelineEntry) -> None:
        """Begin the fault of a timeline entry under a lease; raises FaultControlFailed."""
        if step.id is None or step.fault is None:
            raise ValueError("a fault needs an id and a name")
        faults, kind = find_fault(self._exchange.target.document, step)
        given = {} if step.params is None else step.params.given
        arguments: dict[str, Argument] = {
            **complete(faults.kinds[kind].params, given),
            "kind": kind,
            "lease_seconds": self._lease,
            "seed": self._seed,
            "unique": secrets.token_hex(8),
        }
        begun = _Begun(faults, step.target if faults.where else None, {**arguments, FAULT_ID: step.id})
        if faults.id is None:
            # It may have begun without an answer, and nothing but our own name is needed to end it.
            self._active[step.id] = begun
        answer = await self._ask(faults.begin, begun)
        fault_id = step.id if faults.id is None else answer.field(faults.id)
        if isinstance(fault_id, bool) or not isinstance(fault_id, str | int):
            raise FaultControlFailed(
                f"{begun.where}: {step.fault} began without an id at `{faults.id}`, so nobody can end it.",
                hint="Ask `moneypath target check` what is wrong with the target's faults.",
            )
        self._active[step.id] = _Begun(faults, begun.place, {**arguments, FAULT_ID: fault_id})

    async def end(self, names: list[str]) -> None:
        """End the faults called `names` in the scenario; all are tried before the first error is raised."""
        failures: list[FaultControlFailed] = []
        for name in names:
            if name not in self._active:
                continue
            begun = self._active.pop(name)
            try:
                await self._ask(begun.faults.end, begun)
                self._on_ended(name, begun.where)
            except FaultControlFailed as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    async def hits(self) -> int:
        """Return how many requests the active faults of this drill have hit, as far as targets count them."""
        total = 0.0
        for begun in list(self._active.values()):
            faults = begun.faults
            if faults.hits is None or faults.hits_field is None:
                continue
            answer = await self._ask(faults.hits, begun)
            total += answer.number(faults.hits_field, chosen=begun.arguments[FAULT_ID]) or 0.0
        return int(total)

    async def _ask(self, call: Call, begun: _Begun) -> Answer:
        try:
            return await self._exchange.ask(call, begun.arguments, place=begun.place)
        except MoneypathError as error:
            self._exchange.access.forget_tokens()
            said = f" {error.hint}" if error.hint else ""
            raise FaultControlFailed(
                self._exchange.access.masked(f"{begun.where}: {error.what}{said}"),
                hint="Compare the fault's `params` with the target's file, and check that the target runs.",
            ) from None

    async def _renew_until_cancelled(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            for name, begun in list(self._active.items()):
                if begun.faults.renew is None:
                    continue
                try:
                    await self._ask(begun.faults.renew, begun)
                except FaultControlFailed as failure:
                    # A fault that was ended meanwhile has no lease to lose. Otherwise the lease runs out by
                    # itself; a guardrail of the runner reads this and ends the drill.
                    if name in self._active:
                        self.lost = failure


def find_fault(document: TargetFile, step: TimelineEntry) -> tuple[Faults, str]:
    """Return the family and the kind of an entry's fault; raises FaultControlFailed when it does not fit."""
    family, _, kind = str(step.fault).partition(".")
    faults = document.faults.get(family)
    if faults is None or kind not in faults.kinds:
        names = ", ".join(sorted(document.fault_names)) or "none"
        raise FaultControlFailed(
            f"{document.target} has no fault {step.fault}; allowed: {names}.",
            hint="Name one that stands in the target's file.",
        )
    if (step.target in faults.where) != bool(faults.where) or (step.target and not faults.where):
        raise FaultControlFailed(
            f"{step.fault}: target: {step.target}; allowed: {', '.join(faults.where) or 'no target'}.",
            hint="Name a place that the target's file has under `where`.",
        )
    given = {} if step.params is None else step.params.given
    for issue in param_issues(faults.kinds[kind].params, given):
        where = ".".join(("params", *map(str, issue.location)))
        allowed = f"; allowed: {issue.allowed}" if issue.allowed else ""
        raise FaultControlFailed(
            f"{step.fault}: {where}: {issue.what}{allowed}.",
            hint="The target's file says which parameters the fault has.",
        )
    return faults, kind
