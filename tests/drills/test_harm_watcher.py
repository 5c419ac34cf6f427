"""Harm is harmed, fine or unknown; its end is recorded once it has lasted, with what it rests on."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from moneypath.drills import harm_watcher
from moneypath.drills.expected import Harm
from moneypath.drills.harm_watcher import HarmWatcher
from moneypath.incidents.events import EventLog
from moneypath.incidents.timeline import Kind
from moneypath.prometheus import Sample

HARM = Harm.model_validate(
    {
        "id": "customers-are-served",
        "query": "bad_share",
        "expect": {"value": "< 0.0144", "for": "5m", "evidence": {"min": 50, "query": "sum(payments_total)"}},
        "title": "share of payments that fail",
        "unit": "ratio",
        "within": "19m",
    }
)


class Watch:
    """A watcher at scale 60 on clocks that are set by hand."""

    def __init__(self, folder: Path) -> None:
        self.at = 0.0
        self.log = EventLog(folder / "events.jsonl", wall=lambda: 1000.0 + self.at, mono=lambda: self.at)
        self._watcher = HarmWatcher(HARM, self.log, scale=60)

    async def run(self, *looks: tuple[float, float]) -> None:
        """Run until all looks are taken, a second each: the share and the count that Prometheus answers."""
        answers = iter(looks)

        async def query(promql: str, /) -> Sequence[Sample]:
            if promql == HARM.query:
                self.at += 1
                self._answer = next(answers, None)
                if self._answer is None:
                    raise asyncio.CancelledError
                return [Sample({}, self._answer[0])]
            assert promql == HARM.hold.counter
            assert self._answer is not None
            return [Sample({}, self._answer[1])]

        with pytest.raises(asyncio.CancelledError):
            await self._watcher.run(query)

    def look(self, at: float, bad: float | None, count: float | None) -> None:
        """Look at an instant; None is no sample."""
        self.at = at
        self._watcher.look([] if bad is None else [Sample({}, bad)], count)

    @property
    def told(self) -> list[tuple[str, float, float | None]]:
        """Return what was recorded: kind, instant, evidence."""
        return [(event.kind, event.ts_mono, event.payload["evidence"]) for event in self.log.events]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """A watcher and its log."""
    watch = Watch(tmp_path)
    yield watch
    watch.log.close()


def test_an_end_that_lasts_is_recorded_once_with_its_evidence(watch: Watch) -> None:
    """Five real seconds at scale 60, and not before fifty payments."""
    watch.look(0, 0.0, 100)
    watch.look(1, 0.1, 120)
    for at, count in ((10, 300), (12, 340), (14.9, 345), (15.0, 349), (15.2, 351), (16, 400)):
        watch.look(at, 0.0, count)
    assert watch.told == [
        (Kind.HARM_STARTED, 1, 120),
        (Kind.HARM_ENDED, 10, 300),
        (Kind.HARM_STAYED_ENDED, 15.2, 351),
    ]


def test_what_is_recorded_says_what_was_asked_and_seen(watch: Watch) -> None:
    """Whoever reads the log needs neither the drill's file nor Prometheus."""
    watch.look(1, 0.12345678, 120)
    (event,) = watch.log.events
    assert (event.subject, event.source) == ("customers", "prometheus")
    assert event.payload == {
        "query": HARM.query, "title": HARM.title, "unit": "ratio", "values": [0.123457], "evidence": 120
    }  # fmt: skip


def test_a_counter_that_stands_still_is_known(watch: Watch) -> None:
    """Without a new payment nothing begins anew, and the end needs its evidence all the same."""
    watch.look(1, 0.1, 100)
    for at, count in ((2, 200), (3, 200), (9, 200), (10, 250)):
        watch.look(at, 0.0, count)
    assert watch.told == [
        (Kind.HARM_STARTED, 1, 100),
        (Kind.HARM_ENDED, 2, 200),
        (Kind.HARM_STAYED_ENDED, 10, 250),
    ]


def test_a_dip_is_an_end_that_does_not_last(watch: Watch) -> None:
    """It comes back, and its end is never said to have lasted."""
    for at, bad in ((1, 0.1), (3, 0.0), (4, 0.1), (5, 0.0), (9.9, 0.0), (10, 0.1)):
        watch.look(at, bad, 100 * at)
    kinds = [kind for kind, _, _ in watch.told]
    assert kinds == [Kind.HARM_STARTED, Kind.HARM_ENDED] * 2 + [Kind.HARM_STARTED]


@pytest.mark.parametrize(
    ("bad", "count"), [(None, 500.0), (0.0, None), (0.0, 10.0)], ids=["no sample", "no count", "count fell"]
)
def test_what_is_not_known_breaks_the_end(watch: Watch, bad: float | None, count: float | None) -> None:
    """Neither harm nor recovery: the end begins anew when something is known again."""
    watch.look(1, 0.1, 100)
    watch.look(2, 0.0, 200)
    watch.look(6, bad, count)
    watch.look(8, 0.0, 600)
    watch.look(12, 0.0, 900)
    watch.look(13, 0.0, 1000)
    assert watch.told == [
        (Kind.HARM_STARTED, 1, 100),
        (Kind.HARM_ENDED, 2, 200),
        (Kind.HARM_UNKNOWN, 6, count),
        (Kind.HARM_ENDED, 8, 600),
        (Kind.HARM_STAYED_ENDED, 13, 1000),
    ]


async def test_harm_is_looked_at_with_its_counter_until_the_drill_ends(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Again and again, both by the queries of the drill's file."""
    monkeypatch.setattr(harm_watcher, "EVERY_SECONDS", 0)
    await watch.run((0.1, 100), (0.1, 110), (0.0, 200))
    assert watch.told == [(Kind.HARM_STARTED, 1, 100), (Kind.HARM_ENDED, 3, 200)]


def test_what_never_was_harm_never_ends(watch: Watch) -> None:
    """A healthy path writes nothing, nor does one of which nothing is known yet."""
    watch.look(0, None, None)
    for at in range(20):
        watch.look(at, 0.0, 100.0 * at)
    assert watch.told == []
