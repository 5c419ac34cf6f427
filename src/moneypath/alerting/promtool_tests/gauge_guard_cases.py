"""The test cases of guards on gauges: limit, boundary, missing evidence, stuck workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from moneypath.alerting.baseline import worker_job
from moneypath.alerting.promtool_tests.case import STEP_SECONDS, AlertsAt, Case, gauge, series
from moneypath.alerting.promtool_tests.check_cases import zeros
from moneypath.alerting.rules import AlertRule
from moneypath.path.guards import AgeGuard, DeadlineGuard, GaugeGuard
from moneypath.path.model import MoneyPath
from moneypath.telemetry.catalogue import Catalogue

_START = 300


@dataclass(frozen=True, slots=True)
class _Tested:
    """A guard with its members: the first one is at fault, the others stay healthy."""

    path: MoneyPath
    guard: GaugeGuard
    catalogue: Catalogue
    siblings: tuple[AlertRule, ...]

    @property
    def worker(self) -> str:
        """Return the job that exports the gauges."""
        return worker_job(self.path)

    @property
    def members(self) -> tuple[dict[str, str], ...]:
        """Return the labels of every member."""
        spec = self.catalogue[self.guard.series]
        return tuple(dict(zip(spec.labels, values, strict=True)) for values in spec.combinations())

    @property
    def own_evidence(self) -> bool:
        """Tell whether the guarded series is its own evidence, so that it exists while all is well."""
        return self.guard.evidence is not None and self.guard.evidence.series == self.guard.series

    def first(self, text: str) -> dict[str, str]:
        """Return the guarded series of the first member."""
        return {self.named(self.guard.series, self.members[0]): text}

    def named(self, name: str, member: dict[str, str]) -> str:
        """Return the series `name` of a member."""
        return series(name, **member, job=self.worker, instance=self.worker)

    def around(self, seconds: int, *, evidence_of_first: bool = True) -> dict[str, str]:
        """Return the other series that must exist for so long: the evidence, and the other members."""
        guard, found = self.guard, self.asked(gauge((1, seconds)))
        for member in self.members[1:]:
            if self.own_evidence or guard.evidence is None:
                found[self.named(guard.series, member)] = self.well(seconds)
        if guard.evidence and not self.own_evidence:
            for member in self.members[0 if evidence_of_first else 1 :]:
                found[self.named(guard.evidence.series, member)] = gauge((1, seconds))
        return found

    def well(self, seconds: int) -> str:
        """Return the guarded series of a healthy member."""
        if isinstance(self.guard, AgeGuard):
            return f"0+{STEP_SECONDS}x{seconds // STEP_SECONDS}"
        if isinstance(self.guard, DeadlineGuard):
            return f"{STEP_SECONDS}+{STEP_SECONDS}x{seconds // STEP_SECONDS}"
        return gauge((self.guard.above, seconds))

    def asked(self, text: str) -> dict[str, str]:
        """Return that Prometheus asks the last of the targets, whatever they answer."""
        job = self.path.targets[-1].job
        return {series("up", job=job, instance=job): text}

    def seen_again(self, begun: int, pause: int) -> dict[str, str]:
        """Return the evidence of every member, well for some seconds, and again after a pause.

        Another target is asked a scrape earlier.
        """
        assert self.guard.evidence is not None  # noqa: S101  # only guards with evidence come here
        level = self.guard.above if self.own_evidence and self.guard.kind == "level" else 1
        is_time = self.own_evidence and self.guard.kind != "level"

        def run(start: int, seconds: int) -> list[str]:
            step = f"{start}+{STEP_SECONDS}" if is_time else f"{level}+0"
            return [f"{step}x{seconds // STEP_SECONDS - 1}"] if seconds else []

        gap, scraped = pause // STEP_SECONDS, f"1+0x{begun // STEP_SECONDS - 1}"
        values = " ".join([*run(0, begun), f"_x{gap}", *run(begun + pause, 120)])
        up = " ".join([*([scraped] if begun else []), f"_x{gap - 1}", "1+0x24"])
        names = (self.named(self.guard.evidence.series, member) for member in self.members)
        return self.asked(up) | dict.fromkeys(names, values)

    def missing(self, seconds: int, *members: dict[str, str]) -> AlertsAt:
        """Return that the members fire for missing evidence, by every rule that reads it."""
        others = tuple((rule, member) for rule in self.siblings for member in members)
        return AlertsAt(seconds, members, others=others)


def gauge_cases(
    path: MoneyPath, guard: GaugeGuard, catalogue: Catalogue, siblings: tuple[AlertRule, ...]
) -> tuple[Case, ...]:
    """Return the cases of a guard over a gauge.

    `siblings` are the rules that raise alerts of the same name and need the same evidence.
    """
    tested = _Tested(path, guard, catalogue, siblings)
    own = _level(tested, guard.above) if guard.kind == "level" else _time(tested)
    return (
        *own,
        *(_evidence(tested, guard.evidence.missing_after_seconds) if guard.evidence else _none()),
    )


def _time(tested: _Tested) -> Iterator[Case]:
    guard, alone = tested.guard, (tested.members[0],)
    limit = guard.older_than_seconds if isinstance(guard, AgeGuard) else 0
    limit = guard.grace_seconds if isinstance(guard, DeadlineGuard) else limit
    total = _START + limit + 300
    fresh = _START // STEP_SECONDS
    around = tested.around(total)
    before, after = _START + limit, _START + limit + 2 * STEP_SECONDS
    stuck = f"0+{STEP_SECONDS}x{fresh} {_START}+0x{(total - _START) // STEP_SECONDS}"
    yield Case("stays quiet while all is well", around | tested.first(tested.well(total)), (AlertsAt(total),))
    yield Case(
        "fires when the limit has passed, not before, and for that member alone",
        around | tested.first(stuck),
        (AlertsAt(_START), AlertsAt(before), AlertsAt(after, alone)),
    )
    yield Case(
        "fires because the worker is stuck, though every gauge that has to be 0 reads 0",
        around | zeros(tested.path, tested.catalogue, total) | tested.first(stuck),
        (AlertsAt(before), AlertsAt(after, alone)),
    )
    again = f"0+0x{after // STEP_SECONDS} {total + 60}+{STEP_SECONDS}x60"
    yield Case(
        "ends when the time is recent again",
        tested.around(total + 300) | tested.first(again),
        (AlertsAt(after, alone), AlertsAt(after + 60)),
    )
    if isinstance(guard, AgeGuard):
        yield Case(
            "fires when the time is in milliseconds, far in the future",
            tested.around(60) | tested.first(f"1700000000000+{STEP_SECONDS * 1000}x12"),
            (AlertsAt(60, alone),),
        )


def _level(tested: _Tested, above: Decimal) -> Iterator[Case]:
    alone, at = (tested.members[0],), _START + 2 * STEP_SECONDS
    around = tested.around(600)
    yield Case("stays quiet at the level", around | tested.first(gauge((above, 600))), (AlertsAt(600),))
    yield Case(
        "fires at once above the level, for that member alone",
        around | tested.first(gauge((above, 300), (above + 1, 300))),
        (AlertsAt(_START), AlertsAt(at, alone)),
    )
    yield Case(
        "ends when it is at the level again",
        around | tested.first(gauge((above + 1, 300), (above, 300))),
        (AlertsAt(_START, alone), AlertsAt(at)),
    )
    second = series(tested.guard.series, **tested.members[0], job=tested.worker, instance="second")
    yield Case(
        "takes the worst of two exporters, not the sum and not the last",
        around | tested.first(gauge((above, 600))) | {second: gauge((above + 1, 600))},
        (AlertsAt(600, alone),),
    )


def _evidence(tested: _Tested, patience: int) -> Iterator[Case]:
    """Yield cases in which the evidence of the first member, or of all, is missing."""
    first = tested.members[0]
    gone = _START + patience
    total = gone + 120
    around = tested.around(total, evidence_of_first=False)

    def leaving(text: str = "") -> dict[str, str]:
        if tested.own_evidence:
            return tested.first(text or f"{tested.well(_START)} stale")
        assert tested.guard.evidence is not None  # noqa: S101  # only guards with evidence come here
        name = tested.named(tested.guard.evidence.series, first)
        return {name: gauge((1, _START), ("_", patience))} | (tested.first(text) if text else {})

    yield Case(
        "fires when the evidence is gone for long, not before, and for that member alone",
        around | leaving(),
        (AlertsAt(_START), AlertsAt(gone - 2 * STEP_SECONDS), tested.missing(gone + 4 * STEP_SECONDS, first)),
    )
    yield Case(
        "fires for every member without any series, though every target is down",
        tested.asked(gauge((0, 60))),
        (tested.missing(60, *_sorted(tested)),),
    )
    yield Case("is silent while Prometheus asks nobody: another guard speaks then", {}, (AlertsAt(600),))
    yield Case(
        "fires though Prometheus asks every 100 s only",
        tested.asked(" ".join(["1 _x19"] * 7)),
        (tested.missing(620, *_sorted(tested)),),
    )
    for title, begun, pause in (
        ("runs for the first time", 0, 3 * STEP_SECONDS),
        ("goes on after a pause", _START, patience + 60 + STEP_SECONDS),
    ):
        again = begun + pause
        yield Case(
            f"stays quiet while Prometheus {title} and has not asked the worker yet",
            tested.seen_again(begun, pause),
            tuple(AlertsAt(seconds) for seconds in range(again - 3 * STEP_SECONDS, again + 60, STEP_SECONDS)),
        )
    wrong = _wrong(tested)
    yield Case(
        "does not end because the worker died",
        around | leaving(f"{wrong} stale"),
        (AlertsAt(_START, (first,)), AlertsAt(_START + patience // 2, (first,))),
    )
    if not tested.own_evidence:
        there = tested.around(total)
        yield Case(
            "stays quiet while the series is absent and the evidence is there",
            there,
            (AlertsAt(60), AlertsAt(total)),
        )
        yield Case(
            "ends when the series is gone and the evidence is there",
            there | tested.first(f"{wrong} stale"),
            (AlertsAt(_START, (first,)), AlertsAt(_START + 2 * STEP_SECONDS)),
        )


def _wrong(tested: _Tested) -> str:
    guard, steps = tested.guard, _START // STEP_SECONDS
    if isinstance(guard, AgeGuard | DeadlineGuard):
        return f"-1000000+0x{steps}"
    return f"{guard.above + 1}+0x{steps}"


def _sorted(tested: _Tested) -> tuple[dict[str, str], ...]:
    return tuple(sorted(tested.members, key=lambda member: tuple(member.values())))


def _none() -> Iterator[Case]:
    yield Case("is silent without the gauge: another guard speaks then", {}, (AlertsAt(600),))
