"""A scrape that is killed during compaction loses nothing and counts nothing twice."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from moneypath.telemetry import Recorder
from moneypath.telemetry.recording.multiprocess import group, totals

LEFT = 'moneypath_steps_total{side="left"}'
STEPS = 5


class Killed(BaseException):
    """Raised where the process is killed."""


@pytest.mark.parametrize("survived", range(STEPS))
def test_killed_between_any_two_steps(
    survived: int,
    start: Callable[[], Recorder],
    kill: Callable[[Recorder], None],
    scrape: Callable[[Recorder], dict[str, float]],
    files: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever the scraping worker dies, the next one counts each exited worker once and removes its file."""
    workers = [start() for _ in range(4)]
    # Added one after the other, as doubles, the first swallows the others.
    for worker, amount in zip(workers, (2**53, 1, 1, 1), strict=True):
        worker.counter("moneypath_steps_total").inc(amount, side="left")
    expected = scrape(workers[0])[LEFT]
    assert expected == 2**53 + 4
    kill(workers[1])
    kill(workers[2])
    compact, left = totals.compact, survived

    def step() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(totals, "compact", lambda *arguments: compact(*arguments, step=step))
        with pytest.raises(Killed):
            workers[0].render()
    kill(workers[0])
    assert scrape(workers[3])[LEFT] == expected
    assert scrape(workers[3])[LEFT] == expected
    assert len(files()) == 1


def test_every_step_was_tried(
    start: Callable[[], Recorder], kill: Callable[[Recorder], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compacting two workers has exactly the steps at which the test above kills."""
    workers = [start() for _ in range(3)]
    kill(workers[1])
    kill(workers[2])
    compact, taken = totals.compact, []
    monkeypatch.setattr(
        totals, "compact", lambda *arguments: compact(*arguments, step=lambda: taken.append(1))
    )
    workers[0].render()
    assert len(taken) == STEPS


def test_two_scrapes_at_once_compact_once(
    start: Callable[[], Recorder],
    kill: Callable[[Recorder], None],
    scrape: Callable[[Recorder], dict[str, float]],
    files: Callable[[], list[str]],
    tmp_path: Path,
) -> None:
    """While another worker holds the group's lock, a scrape returns at once and leaves compaction to it."""
    survivor, victim = start(), start()
    victim.counter("moneypath_steps_total").inc(side="left")
    kill(victim)
    (folder,) = (tmp_path / "group").iterdir()
    with group.Group(folder).locked() as held:
        assert held
        assert scrape(survivor)[LEFT] == 1
        assert len(files()) == 2
    assert scrape(survivor)[LEFT] == 1
    assert len(files()) == 1


def test_totals_that_were_compacted_meanwhile_are_not_overwritten(
    start: Callable[[], Recorder],
    kill: Callable[[Recorder], None],
    scrape: Callable[[Recorder], dict[str, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker is about to compact an exited one, and another compacts that one and a later one first."""
    first, second, early, late = start(), start(), start(), start()
    for worker in (early, late):
        worker.counter("moneypath_steps_total").inc(side="left")
    kill(early)
    locked = group.Group.locked
    asked: list[int] = []

    def slow(self: group.Group) -> AbstractContextManager[bool]:
        if not asked:
            asked.append(1)
            kill(late)
            first.render()
        return locked(self)

    monkeypatch.setattr(group.Group, "locked", slow)
    assert scrape(second)[LEFT] == 2
    assert scrape(second)[LEFT] == 2


def test_totals_that_change_while_they_are_read_are_read_again(
    start: Callable[[], Recorder],
    kill: Callable[[Recorder], None],
    scrape: Callable[[Recorder], dict[str, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another worker compacts after the totals were read and before the files are."""
    first, second, victim = start(), start(), start()
    victim.counter("moneypath_steps_total").inc(side="left")
    assert scrape(second)[LEFT] == 1
    kill(victim)
    worker_files = group.Group.worker_files
    asked: list[int] = []

    def late(self: group.Group) -> list[str]:
        if not asked:
            asked.append(1)
            first.render()
        return worker_files(self)

    monkeypatch.setattr(group.Group, "worker_files", late)
    assert scrape(second)[LEFT] == 1
