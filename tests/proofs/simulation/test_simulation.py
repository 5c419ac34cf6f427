"""The simulation keeps its own promises: the same seed is the same history, and a bug on purpose is found."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from proofs.simulation.bugs import BUGS
from proofs.simulation.running import HistoryResult, run_seeds
from proofs.simulation.seeded_bugs import is_broken_patch
from proofs.simulation.server import Server, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Run the simulation's own PostgreSQL."""
    async with running(tmp_path_factory.mktemp("simulation")) as found:
        yield found


async def _run(
    server: Server, seeds: range, bug: str | None = None, *, jittered: bool = False
) -> list[HistoryResult]:
    found = []
    async for one in run_seeds(server, seeds, jobs=1, bug=bug, trace=True, jittered=jittered):
        found.append(one)
        if one.violation:
            break
    return found


async def test_a_seed_is_one_history(server: Server) -> None:
    """The same seeds give the same steps in the same order, however slow the machine is."""
    seeds = range(80, 100)
    first, again = await _run(server, seeds), await _run(server, seeds, jittered=True)
    assert first == again
    assert len({one.trace for one in first}) == len(first)


async def test_promises_are_kept_while_everything_happens(server: Server) -> None:
    """Some histories with deaths, lost commits, silent providers and clocks that jump end well."""
    found = await _run(server, range(100, 160))
    assert [one.violation for one in found] == [None] * 60
    told = "\n".join(line for one in found for line in one.trace)
    faults = ("KILLED", "stands still", "clocks jump", "LOST", ": late", ": unanswered", ": twice")
    payouts = ("does payout", "INSERT INTO identity.approval", "UPDATE identity.approval SET status = 'used'")
    for fault in (*faults, *payouts, "tells of"):
        assert fault in told, f"no history has: {fault}"


@pytest.mark.parametrize("name", ["new-provider-key-on-retry", "payout-reference-is-free"])
async def test_a_bug_on_purpose_is_found(server: Server, name: str) -> None:
    """A mutation of the service breaks a promise within a few histories; `make simulate` tries every one."""
    found = await _run(server, range(1, 200), bug=name)
    violation = found[-1].violation
    assert violation, f"not found in {len(found)} histories: {BUGS[name].description}"
    assert not is_broken_patch(violation)


async def test_a_bug_that_no_longer_fits_the_code_is_not_found() -> None:
    """A patch that calls what is not there any more breaks every history, whatever the service does."""
    assert is_broken_patch(
        "merchant-1-refund-3: TypeError: move() takes 1 positional argument but 2 were given"
    )
    assert not is_broken_patch("merchant-1-refund-3: UniqueViolationError: duplicate key value")
    assert not is_broken_patch("payment reserves what no refund is under way for: 019b7824")
