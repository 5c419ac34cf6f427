"""Of all workers that share, one sends the numbers of all: each arrives once, whoever dies."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.recording.shared import identity
from moneypath.telemetry.recording.shared.group import Group
from moneypath.telemetry.recording.shared.layout import layout_of, used_by
from moneypath.telemetry.recording.shared.sending import Sending
from moneypath.telemetry.recording.shared.store import ParentStore, SharedStore
from moneypath.telemetry.recording.store import CellStore, Turn

Start = Callable[[], Recorder]
Kill = Callable[[Recorder], None]

STEPS = "moneypath_steps_total"


def steps(recorder: Recorder, *, own_only: bool = False) -> float:
    """Return what a worker would send of one counter."""
    (found,) = [each for each in recorder.snapshot(own_only=own_only) if each.spec.name == STEPS]
    return sum(found.values.values())


def test_one_worker_sends_until_it_is_gone(start: Start, kill: Kill) -> None:
    """It keeps its turn while it lives; after its death another one sends all that was counted."""
    workers = [start() for _ in range(3)]
    for worker in workers:
        worker.counter(STEPS).inc(side="left")
    for _ in range(2):
        assert [worker.turn() for worker in workers] == [Turn.ALL, Turn.NOTHING, Turn.NOTHING]
    kill(workers[0])
    workers[0]._store.abandon()
    assert [worker.turn() for worker in workers[1:]] == [Turn.ALL, Turn.NOTHING]
    assert steps(workers[1]) == 3


def test_who_sends_last_sends_again_for_those_who_end_beside_it(start: Start) -> None:
    """A worker that ends meanwhile leaves a mark, seen once; without one nothing is repeated."""
    sender, other = start(), start()
    assert sender.turn(last=True) is Turn.ALL
    assert other.turn(last=True) is Turn.NOTHING
    assert not other.hand_over()
    assert sender.hand_over()
    assert sender.turn(last=True) is Turn.ALL
    assert not sender.hand_over()
    assert other.turn() is Turn.ALL
    assert sender.turn() is Turn.NOTHING
    assert not other.hand_over()


def test_the_mark_is_seen_whenever_it_is_left(start: Start) -> None:
    """At every moment between the claim and the release; after that whoever leaves takes the turn itself."""
    sender, other = start(), start()
    sender.turn()
    assert other.turn(last=True) is Turn.NOTHING
    sender.turn()
    assert not sender.hand_over()
    assert other.turn(last=True) is Turn.ALL


def test_a_turn_given_up_just_before_the_mark_is_taken(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender looked for a mark before there was one: whoever leaves it sends itself."""
    sender, other = start(), start()
    sender.turn()
    leave = os.utime

    def too_late(path: Path, ns: tuple[int, int]) -> None:
        assert not sender.hand_over()
        leave(path, ns=ns)

    monkeypatch.setattr(os, "utime", too_late)
    assert other.turn(last=True) is Turn.ALL


def test_the_group_has_one_name_and_one_beginning(small: Catalogue, start: Start, kill: Kill) -> None:
    """The same for every worker, those that come later included; a worker on its own has its own."""
    first, second = start(), start()
    known = {(worker.instance, worker.begun_unix_nanos) for worker in (first, second)}
    assert len(known) == 1
    for worker in (first, second):
        kill(worker)
    third = start()
    assert known == {(third.instance, third.begun_unix_nanos)}
    alone = setup(small, service="api", shared=False)
    assert alone.begun_unix_nanos > third.begun_unix_nanos
    assert alone.instance.endswith(f":{os.getpid()}")
    assert alone.instance != third.instance


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"id": "../x", "begun_unix_nanos": 1}', "[" * 900])
def test_an_identity_that_nobody_understands_is_replaced(tmp_path: Path, content: str) -> None:
    """Two that ask after that agree; one that is there and sound stays."""
    (tmp_path / identity.IDENTITY).write_text(content)
    given = identity.identify(tmp_path)
    assert identity.identify(tmp_path) == given
    assert [path.name for path in tmp_path.iterdir()] == [identity.IDENTITY]


def test_two_that_name_a_group_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second takes what the first one wrote."""
    first: list[identity.Identity] = []
    link = Path.hardlink_to

    def overtaken(path: Path, target: Path) -> None:
        monkeypatch.setattr(Path, "hardlink_to", link)
        first.append(identity.identify(tmp_path))
        link(path, target)

    monkeypatch.setattr(Path, "hardlink_to", overtaken)
    assert identity.identify(tmp_path) == first[0]


def test_a_forked_child_holds_no_turn_of_its_parents(start: Start, kill: Kill) -> None:
    """It has to ask for its own; and a dead parent's turn is free though its child lives."""
    parent, other = start(), start()
    assert parent.turn() is Turn.ALL
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], parent.turn().encode())
        os.read(done[0], 1)
        os._exit(0)
    try:
        assert os.read(ready[0], 10).decode() == Turn.NOTHING
        parent._store.abandon()
        assert other.turn() is Turn.ALL
    finally:
        os.write(done[1], b"x")
        os.waitpid(child, 0)
        for descriptor in (*ready, *done):
            os.close(descriptor)


def test_without_the_folder_nobody_sends(start: Start, tmp_path: Path) -> None:
    """A folder that was taken away is no error of the worker's; with the folder it would send."""
    worker, other = start(), start()
    assert worker.turn() is Turn.ALL
    for path in (tmp_path / "group").glob("*/*"):
        path.unlink()
    for path in (tmp_path / "group").iterdir():
        path.rmdir()
    assert other.turn(last=True) is Turn.NOTHING
    assert not other.hand_over()


@pytest.mark.parametrize("first", ["parent", "child"])
def test_a_parent_sends_for_its_children_unless_one_of_them_does(
    small: Catalogue, tmp_path: Path, first: str
) -> None:
    """Settled once: what a child sent is never added to the parent's own numbers, nor the other way round."""
    layout, group = layout_of(small), Group(tmp_path)
    known: list[Group] = []

    def recorder(store: CellStore) -> Recorder:
        return Recorder(
            small, service="api", metrics=small.metrics, clock=lambda: 0.0, locked=False, store=store
        )

    parent = recorder(ParentStore(lambda: known[0] if known else None, layout))
    parent.counter(STEPS).inc(5, side="left")
    assert parent.turn() is Turn.OWN
    assert steps(parent, own_only=True) == 5
    known.append(group)
    children = [recorder(SharedStore(group, layout, used_by(layout, small.metrics))) for _ in range(2)]
    for child in children:
        child.counter(STEPS).inc(side="left")
    turns = [each.turn() for each in ((parent, *children) if first == "parent" else (*children, parent))]
    if first == "parent":
        assert turns == [Turn.ALL, Turn.NOTHING, Turn.NOTHING]
        assert steps(parent) == 7
        assert not parent.hand_over()
        assert children[0].turn() is Turn.NOTHING
        parent._store.abandon()
        assert children[0].turn() is Turn.ALL
    else:
        assert turns == [Turn.ALL, Turn.NOTHING, Turn.OWN]
        assert steps(parent, own_only=True) + steps(children[0]) == 7
        children[0]._store.abandon()
        assert parent.turn() is Turn.OWN
        assert children[1].turn() is Turn.ALL
    sending = Sending(group)
    assert not sending.claim()
