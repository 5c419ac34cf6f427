"""Check the canary: it gets a good answer, and the series that it is marked by counts it."""

import secrets
from collections.abc import AsyncIterator
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.polling import poll_until
from moneypath.prometheus import Prometheus
from moneypath.target.conformance.finding import Contract, ContractFinding
from moneypath.target.conformance.finishing import told
from moneypath.target.conformance.look import prometheus_of
from moneypath.target.contracts import Canary
from moneypath.target.exchange import Exchange

# A scrape, and time for it to be written.
COUNTED_WITHIN_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.5
CANARY: Final = Contract.CANARY


async def check_canary(exchange: Exchange) -> AsyncIterator[ContractFinding]:
    """Yield whether the canary is answered well, and whether it is counted apart."""
    canary = exchange.target.document.canary
    if canary is None:
        yield ContractFinding.missing(
            CANARY, "No canary: a drill cannot tell when a fault takes effect, nor when it is over."
        )
        return
    try:
        prometheus = await prometheus_of(exchange)
        before = await _count(prometheus, canary)
        answer = await exchange.ask(canary.call, {"unique": secrets.token_hex(8)})
    except MoneypathError as error:
        yield ContractFinding.fails(CANARY, told(error))
        return
    yield ContractFinding.holds(
        CANARY, f"The canary was answered {answer.status} after {answer.seconds:.2f} s."
    )
    yield await _marked(prometheus, canary, before)


async def _marked(prometheus: Prometheus, canary: Canary, before: float) -> ContractFinding:
    if canary.marked_by is None:
        return ContractFinding.missing(
            CANARY, "No `marked_by`: nobody can tell whether objectives leave canaries out."
        )
    try:
        counted = await poll_until(
            lambda: _count(prometheus, canary),
            lambda now: now > before,
            every_seconds=POLL_SECONDS,
            within_seconds=COUNTED_WITHIN_SECONDS,
        )
    except MoneypathError as error:
        return ContractFinding.fails(CANARY, told(error))
    if counted <= before:
        return ContractFinding.fails(
            CANARY,
            f"{canary.marked_by} counted no canary within {COUNTED_WITHIN_SECONDS:g} s, so it is not marked.",
        )
    return ContractFinding.holds(CANARY, f"{canary.marked_by} counted the canary.")


async def _count(prometheus: Prometheus, canary: Canary) -> float:
    return 0.0 if canary.marked_by is None else await prometheus.value(f"sum({canary.marked_by})") or 0.0
