"""The conformance check of a target, contract by contract."""

from collections.abc import AsyncIterator
from dataclasses import replace

from moneypath.target.conformance.actions import check_actions
from moneypath.target.conformance.canary import check_canary
from moneypath.target.conformance.faults import check_faults
from moneypath.target.conformance.finding import ContractFinding, ContractState
from moneypath.target.conformance.load import check_load
from moneypath.target.conformance.look import check_environment, check_look
from moneypath.target.conformance.witnesses import check_witnesses
from moneypath.target.exchange import Exchange
from moneypath.target.loader import Target


async def check_target(target: Target, environment: str | None) -> AsyncIterator[ContractFinding]:
    """Yield findings as they come; what changes the service is tried only in the `environment` it names.

    Raises NotDrillable when an environment is named that may not be broken.
    """
    refusal = "Nobody named the environment that may be broken (--environment), so it was not tried."
    if environment is not None:
        target.require_drillable(environment)
        refusal = ""
    exchange = Exchange.of(target)
    async for finding in _findings(exchange, refusal):
        # What a target answers is quoted in them, and it may quote what it was sent.
        yield replace(finding, sentence=exchange.access.masked(finding.sentence))


async def _findings(exchange: Exchange, refusal: str) -> AsyncIterator[ContractFinding]:
    async for finding in check_look(exchange):
        yield finding
    seen = await check_environment(exchange)
    yield seen
    if not refusal and seen.state is not ContractState.HOLDS:
        # The file's word alone is not enough: a variable may name the servers of another environment.
        refusal = "The alerts do not say that this is the environment of the file, so it was not tried."
    async for finding in check_canary(exchange):
        yield finding
    async for finding in check_load(exchange, refusal):
        yield finding
    async for finding in check_actions(exchange, refusal):
        yield finding
    async for finding in check_faults(exchange, refusal):
        yield finding
    async for finding in check_witnesses(exchange.target):
        yield finding
