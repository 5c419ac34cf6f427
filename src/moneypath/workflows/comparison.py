"""Drive a build and its baseline in turn, and compare their windows."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath import oracle
from moneypath.capacity.client_log import ClientLog
from moneypath.capacity.counters import Window
from moneypath.capacity.errors import GateUnmeasured
from moneypath.capacity.figures import Comparison
from moneypath.capacity.fingerprint import machine_fingerprint
from moneypath.capacity.gate_file import Gate
from moneypath.capacity.permutation import WindowMeasures, compare_windows, would_find
from moneypath.capacity.reading import COST
from moneypath.capacity.recorded_windows import RecordedWindows, describe_plan
from moneypath.capacity.short_windows import (
    LATENCY,
    ShortWindow,
    WindowEvidence,
    plan_turns,
    window_measures,
)
from moneypath.capacity.tariff import dearest_fees
from moneypath.errors import MoneypathError
from moneypath.path.model import MoneyPath
from moneypath.stack.starters import Announce, LiveStack, LiveStackSettings, Starter
from moneypath.workflows.error_leaves import leaves
from moneypath.workflows.gate_load import GateLoad
from moneypath.workflows.gate_run import FOLDER, open_prometheus
from moneypath.workflows.gate_sampling import ResourceSampler
from moneypath.workflows.revision import Revision
from moneypath.workflows.server_deaths import unless_server_dies

LOAD: Final = "windows"
# Until both load generators run.
LEAD_SECONDS: Final = 8.0
SOURCES_FOLDER: Final = "baseline-sources"
STACK_FOLDER: Final = "baseline"

Baseline = Revision | RecordedWindows


@dataclass(frozen=True, slots=True)
class ShortWindows:
    """The short windows of one gate: where, and under which plan."""

    project: Path
    path: MoneyPath
    gate: Gate
    announce: Announce
    starter: Starter

    async def compare(self, live: LiveStack, baseline: Baseline) -> tuple[Comparison, GateLoad]:
        """Compare the build with a baseline; return the load too, whose answers the audit needs.

        Raises GateUnmeasured when the baseline does not start or ends.
        """
        if isinstance(baseline, RecordedWindows):
            windows, load = await self.record(live)
            unusable = baseline.unusable_here(machine_fingerprint(), describe_plan(self.gate))
            return self._compared(baseline.build, windows, baseline.windows, unusable), load
        try:
            async with self._stack_of(baseline, live) as previous:
                work = self._drive(live, previous)
                build, earlier, load = await unless_server_dies(previous.supervisor, work)
        except (MoneypathError, ExceptionGroup) as error:
            first = leaves(error)[0]
            if not isinstance(first, MoneypathError):
                raise
            raise GateUnmeasured(f"the baseline {baseline.title}: {first.what}", hint=first.hint) from error
        return self._compared(baseline.title, build, earlier), load

    async def record(self, live: LiveStack) -> tuple[tuple[WindowMeasures, ...], GateLoad]:
        """Return the windows of the build alone, and the load that drove it."""
        windows, _, load = await self._drive(live, None)
        return windows, load

    def _compared(
        self,
        title: str,
        build: tuple[WindowMeasures, ...],
        baseline: tuple[WindowMeasures, ...],
        unusable: str = "",
    ) -> Comparison:
        plan = self.gate.baseline
        margin, level = float(plan.worse_at_most_ratio), float(plan.level)
        if build and baseline and (other := sorted(build[0].keys() ^ baseline[0].keys())):
            unusable = unusable or f"recorded with other measures: {', '.join(other)} differ"
        if unusable or not build or not baseline:
            return Comparison(title, build, baseline, unusable=unusable)
        differences = compare_windows(build, baseline, margin=margin)
        sighted = would_find(
            build, baseline, LATENCY, worse=float(plan.found_ratio), margin=margin, level=level
        )
        return Comparison(title, build, baseline, differences, sighted=sighted)

    def _stack_of(self, baseline: Revision, live: LiveStack) -> AbstractAsyncContextManager[LiveStack]:
        folder = live.endpoints.run_folder
        self.announce(f"starting the baseline {baseline.title}")
        build = baseline.export(folder / SOURCES_FOLDER)
        gate = self.gate
        settings = LiveStackSettings(
            self.path, folder / STACK_FOLDER, gate.scale, gate.load.checkouts_per_second, build=build
        )
        return self.starter.running(settings, lambda _: None)

    async def _drive(
        self, live: LiveStack, previous: LiveStack | None
    ) -> tuple[tuple[WindowMeasures, ...], tuple[WindowMeasures, ...], GateLoad]:
        """Return the windows of the build and of its baseline, and the build's load."""
        plan, stacks = self.gate.baseline, [live] if previous is None else [live, previous]
        begin = time.time() + LEAD_SECONDS
        warm = [
            ShortWindow(begin + n * plan.warm_up, begin + (n + 1) * plan.warm_up) for n in range(len(stacks))
        ]
        turns = plan_turns(warm[-1].end, windows=plan.windows, seconds=plan.window, alone=previous is None)
        sides = [
            _Side(self, stack, warm_up, each)
            for stack, warm_up, each in zip(stacks, warm, turns, strict=False)
        ]
        end = max(turn.end for each in turns for turn in each)
        who = "the build" if previous is None else "the build and its baseline in turn"
        self.announce(f"driving {who}, {plan.windows} windows of each: {end - begin:.0f} s")
        async with AsyncExitStack() as sampling:
            for side in sides:
                await sampling.enter_async_context(side.sampler.sampling())
            await asyncio.gather(*(side.start() for side in sides))
            await asyncio.sleep(max(0.0, end - time.time()))
        await asyncio.gather(*(side.live.supervisor.stop(LOAD) for side in sides))
        windows = [await side.windows() for side in sides]
        return windows[0], windows[1] if previous else (), sides[0].load


class _Side:
    """One build with its turns."""

    def __init__(
        self, plan: ShortWindows, live: LiveStack, warm_up: ShortWindow, turns: Sequence[ShortWindow]
    ) -> None:
        self.live, self._plan, self._turns = live, plan, turns
        folder = live.endpoints.run_folder / FOLDER
        folder.mkdir(exist_ok=True)
        due = [warm_up.due, *(turn.due for turn in turns)]
        self.load = GateLoad(LOAD, plan.project, folder, live.endpoints, plan.gate, due)
        self.sampler = ResourceSampler(live.supervisor, live.build_servers)

    async def start(self) -> None:
        """Start the load, which sends nothing before its first turn."""
        await self.live.supervisor.start(self.load.spec())

    async def windows(self) -> tuple[WindowMeasures, ...]:
        """Return what each turn measured, without those of which it cannot be told."""
        first, last = self._turns[0].begin, self._turns[-1].end
        evidence = WindowEvidence(
            requests=ClientLog(self.load.request_log_file).read(),
            samples=self.sampler.samples or (),
            cost=await open_prometheus(self.live).raw_samples(COST, first, last),
        )
        answers = oracle.read_acknowledgement_log(self.load.acknowledgement_log_file).acknowledgements
        found = []
        for turn in self._turns:
            tariff = dearest_fees(self._plan.path, answers, Window(turn.begin, turn.end, turn.end))
            measured = window_measures(evidence, turn, tariff)
            if measured is not None:
                found.append(measured)
        return tuple(found)
