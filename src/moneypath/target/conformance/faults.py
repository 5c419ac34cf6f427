"""Check faults: one that is harmless begins, is renewed, is asked for its hits, and ends."""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.polling import poll_until
from moneypath.target.conformance.finding import Contract, ContractFinding
from moneypath.target.conformance.finishing import finish, told
from moneypath.target.contracts import FAULT_ID, Faults, Harmless
from moneypath.target.errors import CallRefused
from moneypath.target.exchange import Answer, Exchange
from moneypath.target.params import complete, describe, plain_params
from moneypath.target.placeholders import Argument, arguments_in

FAULTS: Final = Contract.FAULTS
LEASE_SECONDS: Final = 10
HEALED_WITHIN_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.5
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~-]{0,199}", re.ASCII)


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
        elif tried:
            yield ContractFinding.not_tried(FAULTS, f"{family}: one fault is tried in a check, and one was.")
        else:
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
        later = {**arguments, FAULT_ID: await _begin(exchange, trial)}
    except MoneypathError as error:
        return ContractFinding.fails(FAULTS, f"{name}: {told(error)}")
    problem, hits = "", None
    try:
        hits = await _look_after(exchange, fault, later, place)
    except MoneypathError as error:
        problem = told(error)
    except BaseException:
        # Ctrl-C: what was broken is healed first.
        await finish(_end(exchange, fault, later, place))
        raise
    try:
        await finish(_end(exchange, fault, later, place))
        problem = problem or await _still_listed(exchange, fault, later, place)
    except MoneypathError as error:
        return ContractFinding.fails(FAULTS, f"{name}: began and could not be ended: {told(error)}")
    if problem:
        return ContractFinding.fails(FAULTS, f"{name}: {problem}")
    counted = "" if hits is None else f", {hits:g} hits"
    where = f" at {place}" if place else ""
    return ContractFinding.holds(
        FAULTS, f"{name}{where} {describe(trial.given)}: began{counted}, and ended.".replace("  ", " ")
    )


async def _begin(exchange: Exchange, trial: _Trial) -> str | int:
    """Begin the fault and return its id; what may have begun is ended as far as that goes without one.

    Raises what the target raises, and CallRefused for an answer without an id that can be used.
    """
    fault, place = trial.faults, trial.how.where
    beginning = asyncio.ensure_future(exchange.ask(fault.begin, trial.arguments, place=place))
    try:
        answer = await asyncio.shield(beginning)
    except asyncio.CancelledError:
        # It may begin a moment later, so its answer is awaited, and ended.
        with contextlib.suppress(MoneypathError):
            begun = _id_in(fault, trial.name, await beginning)
            await _end(exchange, fault, {**trial.arguments, FAULT_ID: begun}, place)
        raise
    except MoneypathError as error:
        what = f"did not begin as it should: {told(error)} {await _end_blindly(exchange, trial)}"
        raise CallRefused(what) from None
    try:
        return _id_in(fault, trial.name, answer)
    except CallRefused as error:
        raise CallRefused(f"{error.what} {await _end_blindly(exchange, trial)}") from None


def _id_in(fault: Faults, name: str, answer: Answer) -> str | int:
    begun = name if fault.id is None else answer.field(fault.id)
    number = isinstance(begun, int) and not isinstance(begun, bool)
    if number or (isinstance(begun, str) and _ID.fullmatch(begun)):
        return begun  # type: ignore[return-value]  # a text or a whole number, by the line above
    raise CallRefused(f"its begin answered without an id at {fault.id} that can be used.")


async def _end_blindly(exchange: Exchange, trial: _Trial) -> str:
    """End a fault that may have begun, where that takes no id; return what is known then."""
    unsure = "It may have begun: look at the service."
    if FAULT_ID in set(arguments_in(trial.faults.end.asked)):
        return unsure
    try:
        await finish(_end(exchange, trial.faults, trial.arguments, trial.how.where))
    except MoneypathError:
        return unsure
    return "Its end was called."


async def _still_listed(
    exchange: Exchange, fault: Faults, arguments: Mapping[str, Argument], place: str | None
) -> str:
    """Return what is wrong when a fault that was ended is counted still."""
    if fault.hits is None or fault.hits_field is None or "[" not in fault.hits_field:
        return ""
    answer = await exchange.ask(fault.hits, arguments, place=place)
    left = answer.field(fault.hits_field, arguments[FAULT_ID])
    return "" if left is None else "was ended, and is listed as active still."


async def _look_after(
    exchange: Exchange, fault: Faults, arguments: Mapping[str, Argument], place: str | None
) -> float | None:
    """Renew the fault, and return how often it hit; raises what the target raises, and CallRefused."""
    if fault.renew is not None:
        await exchange.ask(fault.renew, arguments, place=place)
    if fault.hits is None or fault.hits_field is None:
        return None
    answer = await exchange.ask(fault.hits, arguments, place=place)
    hits = answer.field(fault.hits_field, arguments[FAULT_ID])
    if isinstance(hits, bool) or not isinstance(hits, int | float):
        raise CallRefused(f"began, and there is no number of hits at {fault.hits_field}.")
    return hits


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
