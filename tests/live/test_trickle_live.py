"""On a stack that nobody drives, checkouts go on: nothing pages, the board has data, the target holds."""

import asyncio
from pathlib import Path

from moneypath.prometheus import Prometheus
from moneypath.stack.endpoints import FILE_NAME
from moneypath.stack.starters import LiveStackSettings
from moneypath.target.conformance.check import check_target
from moneypath.target.conformance.finding import Contract, ContractState
from moneypath.target.loader import load_target, read_variables
from moneypath.workflows.board import check_board
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.trickle import NAMES, Trickle, checkouts_per_second, flowing
from refstack.live_stack import running_stack

SCALE = 60
# Several times the window and the hold of the alert for missing traffic, which are 5 s each at this scale.
QUIET_SECONDS = 30.0
START_SECONDS = 60.0
ANSWERS = 50
MISSING = 'ALERTS{alertname="MoneyPathTrafficMissing"}'
FIRING = 'ALERTS{alertstate="firing", severity=~"critical|warning"}'


async def test_an_idle_stack_pages_nobody_and_fills_its_board(project: Path, tmp_path: Path) -> None:
    """Without the trickle, MoneyPathTrafficMissing fires within seconds, and half of the panels are empty."""
    path = load_declaration(project)
    rate = checkouts_per_second(path, SCALE)
    async with running_stack(LiveStackSettings(path, tmp_path, SCALE, rate), lambda _: None) as live:
        prometheus = Prometheus(live.endpoints.prometheus)
        async with flowing(Trickle(live.supervisor, project, live.endpoints, rate)):
            fired: set[str] = set()
            loop = asyncio.get_running_loop()
            # On a slow machine the first checkouts come late, and what was filled in for the past is over.
            log = live.endpoints.run_folder / f"{NAMES[0]}.jsonl"
            async with asyncio.timeout(START_SECONDS):
                while _lines(log) < ANSWERS or await prometheus.query(MISSING):
                    fired |= await _firing(prometheus) - {"MoneyPathTrafficMissing"}
                    await asyncio.sleep(0.5)
            until = loop.time() + QUIET_SECONDS
            while loop.time() < until:
                fired |= await _firing(prometheus)
                await asyncio.sleep(1)
            board = await check_board(project, live.endpoints.prometheus)
            # Last, because it breaks and drains a provider.
            known = read_variables(live.endpoints.run_folder / FILE_NAME)
            target = load_target(project / "targets" / "reference.yaml", None, known)
            findings = [finding async for finding in check_target(target, "reference")]
    assert not fired
    assert board.passed, board.findings
    # Some actions cannot be tried without harm, and its witnesses are not told by a file.
    states = {one.state for one in findings if one.contract is not Contract.WITNESSES}
    assert states <= {ContractState.HOLDS, ContractState.NOT_TRIED}, findings
    held = [one.contract for one in findings if one.state is ContractState.HOLDS]
    assert set(held) == set(Contract) - {Contract.WITNESSES}
    assert {one.contract for one in findings} == set(Contract)


async def _firing(prometheus: Prometheus) -> set[str]:
    return {sample.labels["alertname"] for sample in await prometheus.query(FIRING)}


def _lines(file: Path) -> int:
    return len(file.read_bytes().splitlines()) if file.exists() else 0
