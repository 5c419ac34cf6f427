"""Check faults: one that is harmless begins, is renewed, is asked for its hits, and ends."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.polling import poll_until
from moneypath.target.conformance.finding import Contract, ContractFinding
from moneypath.target.contracts import FAULT_ID, Faults, Harmless
from moneypath.target.exchange import Exchange
from moneypath.target.params import complete, describe, plain_params
from moneypath.target.placeholders import Argument

FAULTS: Final = Contract.FAULTS
LEASE_SECONDS: Final = 10
HEALED_WITHIN_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.5


async def check_faults(exchange: Exchange, refusal: str) -> AsyncIterator[ContractFinding]:
    """Yield a finding for the fault that is tried, and for each that is not."""
    families = exchange.target.document.faults
    if not families:
        yield ContractFinding.missing(FAULTS, "No faults: no drill can break anything here.")
    tried = False
    for family, faults in families.items():
        if not faults.ends_by_itself:
            what = f"{family}: does not end by itself, so a drill that dies leaves it behind."
            yield ContractFinding.missing(FAULTS, what)
        harmless = [(name, kind.harmless) for name, kind in faults.kinds.items() if kind.harmless is not None]
        if not harmless:
            yield ContractFinding.not_tried(FAULTS, f"{family}: no kind has `harmless`, so none was tried.")
        elif refusal:
            yield ContractFinding.not_tried(FAULTS, f"{family}: {refusal}")
        elif not tried:
            tried = True
            name, how = harmless[0]
            yield await _break_and_heal(exchange, _Trial(f"{family}.{name}", name, faults, how))
            yield await _healed(exchange)


@dataclass(frozen=True, slots=True)
class _Trial:
    """One fault to try: its name, kind, family, and how."""

    name: str
    kind: str
    faults: Faults
    how: Harmless

    @property
    def given(self) -> dict[str, Argument]:
        return plain_params(self.how.params)

    @property
    def arguments(self) -> dict[str, Argument]:
        return {
            **complete(self.faults.kinds[self.kind].params, self.given),
            "kind": self.kind,
            "lease_seconds": LEASE_SECONDS,
            "seed": 1,
            "unique": secrets.token_hex(8),
        }


async def _break_and_heal(exchange: Exchange, trial: _Trial) -> ContractFinding:
    name, fault, place, arguments = trial.name, trial.faults, trial.how.where, trial.arguments
    try:
        answer = await exchange.ask(fault.begin, arguments, place=place)
    except MoneypathError as error:
        return ContractFinding.fails(FAULTS, f"{name}: did not begin: {error.what}")
    begun = name if fault.id is None else answer.field(fault.id)
    if not isinstance(begun, str | int):
        return ContractFinding.fails(FAULTS, f"{name}: its begin answered without an id at {fault.id}.")
    later = {**arguments, FAULT_ID: begun}
    problem, hits = "", None
    try:
        hits = await _look_after(exchange, fault, later, place)
    except MoneypathError as error:
        problem = error.what
    try:
        await asyncio.shield(_end(exchange, fault, later, place))
    except MoneypathError as error:
        return ContractFinding.fails(FAULTS, f"{name}: began and could not be ended: {error.what}")
    if problem:
        return ContractFinding.fails(FAULTS, f"{name}: {problem}")
    counted = "" if fault.hits is None else f", {hits} hits"
    where = f" at {place}" if place else ""
    return ContractFinding.holds(
        FAULTS, f"{name}{where} {describe(trial.given)}: began{counted}, and ended.".replace("  ", " ")
    )


async def _look_after(
    exchange: Exchange, fault: Faults, arguments: Mapping[str, Argument], place: str | None
) -> object:
    """Renew the fault, and return how often it hit; raises what the target raises."""
    if fault.renew is not None:
        await exchange.ask(fault.renew, arguments, place=place)
    if fault.hits is None or fault.hits_field is None:
        return None
    return (await exchange.ask(fault.hits, arguments, place=place)).field(
        fault.hits_field, arguments[FAULT_ID]
    )


async def _end(
    exchange: Exchange, fault: Faults, arguments: Mapping[str, Argument], place: str | None
) -> None:
    """End the fault, and once more: an undo is repeated when its answer got lost."""
    await exchange.ask(fault.end, arguments, place=place)
    await exchange.ask(fault.end, arguments, place=place)


async def _healed(exchange: Exchange) -> ContractFinding:
    """Return whether the canary is well again after the fault."""
    canary = exchange.target.document.canary
    if canary is None:
        return ContractFinding.not_tried(
            FAULTS, "Without a canary nobody knows whether the service is well again."
        )

    async def problem() -> str:
        try:
            await exchange.ask(canary.call, {"unique": secrets.token_hex(8)})
        except MoneypathError as error:
            return error.what
        return ""

    why = await poll_until(
        problem, lambda what: not what, every_seconds=POLL_SECONDS, within_seconds=HEALED_WITHIN_SECONDS
    )
    if why:
        return ContractFinding.fails(
            FAULTS, f"The canary is not well {HEALED_WITHIN_SECONDS:g} s later: {why}"
        )
    return ContractFinding.holds(FAULTS, "The canary is well after the fault.")
