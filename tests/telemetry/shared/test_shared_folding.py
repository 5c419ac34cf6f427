"""A scrape that is killed while it folds a dead worker away loses nothing and counts nothing twice."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from moneypath.telemetry import Recorder
from moneypath.telemetry.recording.shared import group, totals

LEFT = 'moneypath_steps_total{side="left"}'
STEPS = 5


class Killed(BaseException):
    """The process died here."""


@pytest.mark.parametrize("survived", range(STEPS))
def test_killed_between_any_two_steps(
    survived: int,
    start: Callable[[], Recorder],
    kill: Callable[[Recorder], None],
    scrape: Callable[[Recorder], dict[str, float]],
    files: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever the scraping worker dies, the next one finds each dead worker once, and tidies up."""
    workers = [start() for _ in range(4)]
    # Added one after the other, as doubles, the first swallows the others.
    for worker, amount in zip(workers, (2**53, 1, 1, 1), strict=True):
        worker.counter("moneypath_steps_total").inc(amount, side="left")
    expected = scrape(workers[0])[LEFT]
    assert expected == 2**53 + 4
    kill(workers[1])
    kill(workers[2])
    fold, left = totals.fold, survived

    def step() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(totals, "fold", lambda *arguments: fold(*arguments, step=step))
        with pytest.raises(Killed):
            workers[0].render()
    kill(workers[0])
    assert scrape(workers[3])[LEFT] == expected
    assert scrape(workers[3])[LEFT] == expected
    assert len(files()) == 1


def test_every_step_was_tried(
    start: Callable[[], Recorder], kill: Callable[[Recorder], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folding two workers has exactly the steps that the test above dies in."""
    workers = [start() for _ in range(3)]
    kill(workers[1])
    kill(workers[2])
    fold, taken = totals.fold, []
    monkeypatch.setattr(totals, "fold", lambda *arguments: fold(*arguments, step=lambda: taken.append(1)))
    workers[0].render()
    assert len(taken) == STEPS


def test_two_who_scrape_at_once_fold_once(
    start: Callable[[], Recorder],
    kill: Callable[[Recorder], None],
    scrape: Callable[[Recorder], dict[str, float]],
    files: Callable[[], list[str]],
    tmp_path: Path,
) -> None:
    """While another worker holds the group's lock, a scrape answers at once and leaves the folding to it."""
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


def test_totals_that_were_folded_meanwhile_are_not_overwritten(
    start: Callable[[], Recorder],
    kill: Callable[[Recorder], None],
    scrape: Callable[[Recorder], dict[str, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One worker is about to fold a dead one; another folds that one and one more, who died just now."""
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
    """One worker folds between the other's look at the totals and its look at the files."""
    first, second, victim = start(), start(), start()
    victim.counter("moneypath_steps_total").inc(side="left")
    assert scrape(second)[LEFT] == 1
    kill(victim)
    members = group.Group.members
    asked: list[int] = []

    def late(self: group.Group) -> list[str]:
        if not asked:
            asked.append(1)
            first.render()
        return members(self)

    monkeypatch.setattr(group.Group, "members", late)
    assert scrape(second)[LEFT] == 1
