"""Workers start, count, die and are scraped in any order, and each scrape equals the model."""

import shutil
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from moneypath.telemetry import Catalogue, MetricKind, MetricSpec, Recorder, Unit, setup
from moneypath.telemetry.recording.multiprocess import totals
from moneypath.telemetry.recording.multiprocess.store import SharedStore
from moneypath.telemetry.recording.payment_records import PaymentRecord

SIDES = st.sampled_from(("left", "right"))
SMALL = ("moneypath_payments_in_flight", "moneypath_payment_duration_seconds")
OWN = ("moneypath_telemetry_drops_total", "moneypath_telemetry_records_total")
WHOLE = Catalogue.build({"providers": ("n",), "currencies": ("EUR",), "checks": ("c",), "schemes": ("visa",)})
LABELS = {"side": ("left", "right")}
CATALOGUE = Catalogue.of(
    [
        *(WHOLE[name] for name in (*SMALL, *OWN, "moneypath_payments_total")),
        MetricSpec("moneypath_steps_total", MetricKind.COUNTER, "-", labels=LABELS, series_budget=2),
        MetricSpec(
            "moneypath_stride_seconds",
            MetricKind.HISTOGRAM,
            "-",
            Unit.SECONDS,
            labels=LABELS,
            buckets=(0.5,),
            series_budget=8,
        ),
    ]
)


LEFT_OPEN = (
    'moneypath_payments_total{operation="capture",outcome="indeterminate",'
    'provider="none",traffic="live",cohort="control"}'
)


class Killed(BaseException):
    """Raised where the process is killed."""


class Workers(RuleBasedStateMachine):
    """A group of workers, and the expected sums."""

    workers = Bundle("workers")

    @initialize()
    def begin(self) -> None:
        """Start with an empty folder."""
        self.folder = Path(tempfile.mkdtemp())
        self.alive: list[Recorder] = []
        self.counts: Counter[str] = Counter()
        self.sums: dict[str, list[Fraction]] = {"left": [], "right": []}
        self.open: list[tuple[Recorder, PaymentRecord]] = []
        self.left_open = self.records = 0
        self.last: dict[str, float] = {}

    def teardown(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @rule(target=workers)
    def start(self) -> Recorder:
        """Start a worker."""
        worker = setup(CATALOGUE, service="api", shared=self.folder)
        self.alive.append(worker)
        return worker

    @rule(worker=workers, side=SIDES, amount=st.integers(min_value=0, max_value=2**40))
    def count(self, worker: Recorder, side: str, amount: int) -> None:
        """Increment a counter in one worker."""
        worker.counter("moneypath_steps_total").inc(amount, side=side)
        self.counts[side] += amount
        self.records += 1

    @rule(worker=workers, side=SIDES, seconds=st.floats(min_value=0, max_value=1e6))
    def observe(self, worker: Recorder, side: str, seconds: float) -> None:
        """Observe a duration whose sums are not exact as doubles."""
        worker.histogram("moneypath_stride_seconds").observe(seconds, side=side)
        self.sums[side].append(Fraction(seconds))
        self.records += 1

    @rule(worker=workers)
    def pay(self, worker: Recorder) -> None:
        """Begin a payment."""
        self.open.append((worker, worker.payment("capture").__enter__()))

    @rule()
    def end_payment(self) -> None:
        """End the oldest open payment."""
        if self.open:
            _, payment = self.open.pop(0)
            payment.finish("succeeded", "n")
            self.records += 1

    @rule(worker=consumes(workers))
    def kill(self, worker: Recorder) -> None:
        """Kill a worker."""
        assert isinstance(worker._store, SharedStore)
        worker._store._file.abandon()
        self.alive.remove(worker)
        left = sum(1 for owner, _ in self.open if owner is worker)
        self.left_open += left
        self.records += left
        self.open = [(owner, payment) for owner, payment in self.open if owner is not worker]

    @rule(worker=workers, steps=st.integers(min_value=0, max_value=6))
    def scrape_and_die_while_compacting(self, worker: Recorder, steps: int) -> None:
        """Kill a scrape between two changes on disk, then scrape again."""
        left = steps

        def step() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed

        compact = totals.compact
        totals.compact = lambda *arguments: compact(*arguments, step=step)
        try:
            worker.render()
        except Killed:
            pass
        finally:
            totals.compact = compact

    @rule(worker=workers)
    def scrape(self, worker: Recorder) -> None:
        """Scrape any worker; the result equals the model, and no counter went back."""
        lines = [line for line in worker.render().decode().splitlines() if not line.startswith("#")]
        samples = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}
        for side in ("left", "right"):
            assert samples.get(f'moneypath_steps_total{{side="{side}"}}', 0) == self.counts[side]
            assert samples.get(f'moneypath_stride_seconds_count{{side="{side}"}}', 0) == len(self.sums[side])
        assert samples['moneypath_payments_in_flight{operation="capture"}'] == len(self.open)
        assert samples.get(LEFT_OPEN, 0) == self.left_open
        assert samples['moneypath_telemetry_drops_total{reason="unfinished"}'] == 0
        assert samples['moneypath_telemetry_drops_total{reason="shared_file"}'] == 0
        assert samples["moneypath_telemetry_records_total"] == self.records
        for name, value in self.last.items():
            if "in_flight" not in name:
                assert samples.get(name, 0) >= value, name
        self.last = samples

    @invariant()
    def folder_is_bounded(self) -> None:
        """The folder has at most a file for each worker, locks, the identity and the totals with a draft."""
        if hasattr(self, "folder"):
            assert len(list(self.folder.glob("*/*"))) <= 64 + 3


TestWorkers = pytest.mark.heavy(Workers.TestCase)
TestWorkers.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
