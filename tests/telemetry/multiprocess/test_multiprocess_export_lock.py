"""One worker of a group exports for all. Each number arrives once, whichever worker dies."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.recording.multiprocess import identity
from moneypath.telemetry.recording.multiprocess.export_lock import ExportLock
from moneypath.telemetry.recording.multiprocess.group import Group
from moneypath.telemetry.recording.multiprocess.layout import layout_of, slots_of
from moneypath.telemetry.recording.multiprocess.store import ParentStore, SharedStore
from moneypath.telemetry.recording.store import ExportScope, PointStore

Start = Callable[[], Recorder]
Kill = Callable[[Recorder], None]

STEPS = "moneypath_steps_total"


def steps(recorder: Recorder, *, own_only: bool = False) -> float:
    """Return what a worker would export of one counter."""
    (found,) = [each for each in recorder.snapshot(own_only=own_only) if each.spec.name == STEPS]
    return sum(found.values.values())


def test_one_worker_exports_until_it_exits(start: Start, kill: Kill) -> None:
    """It exports as long as it lives. After its death another worker exports everything counted so far."""
    workers = [start() for _ in range(3)]
    for worker in workers:
        worker.counter(STEPS).inc(side="left")
    for _ in range(2):
        assert [worker.claim_export() for worker in workers] == [
            ExportScope.ALL,
            ExportScope.NOTHING,
            ExportScope.NOTHING,
        ]
    kill(workers[0])
    workers[0]._store.abandon()
    assert [worker.claim_export() for worker in workers[1:]] == [ExportScope.ALL, ExportScope.NOTHING]
    assert steps(workers[1]) == 3


def test_who_sends_last_sends_again_for_those_who_end_beside_it(start: Start) -> None:
    """A worker that ends leaves a mark, which is seen once. Without a mark nothing is repeated."""
    sender, other = start(), start()
    assert sender.claim_export(last=True) is ExportScope.ALL
    assert other.claim_export(last=True) is ExportScope.NOTHING
    assert not other.release_export()
    assert sender.release_export()
    assert sender.claim_export(last=True) is ExportScope.ALL
    assert not sender.release_export()
    assert other.claim_export() is ExportScope.ALL
    assert sender.claim_export() is ExportScope.NOTHING
    assert not other.release_export()


def test_the_mark_is_seen_whenever_it_is_left(start: Start) -> None:
    """A mark is seen at any moment between claim and release. Later a leaving worker exports itself."""
    sender, other = start(), start()
    sender.claim_export()
    assert other.claim_export(last=True) is ExportScope.NOTHING
    sender.claim_export()
    assert not sender.release_export()
    assert other.claim_export(last=True) is ExportScope.ALL


def test_a_lock_released_just_before_the_mark_is_taken(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter looked for a mark too early, so the leaving worker exports itself."""
    sender, other = start(), start()
    sender.claim_export()
    leave = os.utime

    def too_late(path: Path, ns: tuple[int, int]) -> None:
        assert not sender.release_export()
        leave(path, ns=ns)

    monkeypatch.setattr(os, "utime", too_late)
    assert other.claim_export(last=True) is ExportScope.ALL


def test_the_group_has_one_name_and_one_beginning(small: Catalogue, start: Start, kill: Kill) -> None:
    """All workers of a group have the same id and start time; a single process has its own."""
    first, second = start(), start()
    known = {(worker.instance, worker.start_time_unix_nano) for worker in (first, second)}
    assert len(known) == 1
    for worker in (first, second):
        kill(worker)
    third = start()
    assert known == {(third.instance, third.start_time_unix_nano)}
    alone = setup(small, service="api", shared=False)
    assert alone.start_time_unix_nano > third.start_time_unix_nano
    assert alone.instance.endswith(f":{os.getpid()}")
    assert alone.instance != third.instance


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"id": "../x", "start_time_unix_nano": 1}', "[" * 900])
def test_an_identity_that_nobody_understands_is_replaced(tmp_path: Path, content: str) -> None:
    """Workers that ask later agree on the new one. A valid identity stays."""
    (tmp_path / identity.IDENTITY).write_text(content)
    given = identity.identify(tmp_path)
    assert identity.identify(tmp_path) == given
    assert [path.name for path in tmp_path.iterdir()] == [identity.IDENTITY]


def test_two_that_name_a_group_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second worker takes the identity that the first one wrote."""
    first: list[identity.Identity] = []
    link = Path.hardlink_to

    def overtaken(path: Path, target: Path) -> None:
        monkeypatch.setattr(Path, "hardlink_to", link)
        first.append(identity.identify(tmp_path))
        link(path, target)

    monkeypatch.setattr(Path, "hardlink_to", overtaken)
    assert identity.identify(tmp_path) == first[0]


def test_a_forked_child_holds_no_lock_of_its_parents(start: Start, kill: Kill) -> None:
    """The child must claim for itself, and a dead parent's lock is free although its child lives."""
    parent, other = start(), start()
    assert parent.claim_export() is ExportScope.ALL
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], parent.claim_export().encode())
        os.read(done[0], 1)
        os._exit(0)
    try:
        assert os.read(ready[0], 10).decode() == ExportScope.NOTHING
        parent._store.abandon()
        assert other.claim_export() is ExportScope.ALL
    finally:
        os.write(done[1], b"x")
        os.waitpid(child, 0)
        for descriptor in (*ready, *done):
            os.close(descriptor)


def test_without_the_folder_nobody_exports(start: Start, tmp_path: Path) -> None:
    """A folder that was removed raises no error; with the folder the worker would export."""
    worker, other = start(), start()
    assert worker.claim_export() is ExportScope.ALL
    for path in (tmp_path / "group").glob("*/*"):
        path.unlink()
    for path in (tmp_path / "group").iterdir():
        path.rmdir()
    assert other.claim_export(last=True) is ExportScope.NOTHING
    assert not other.release_export()


@pytest.mark.parametrize("first", ["parent", "child"])
def test_a_parent_sends_for_its_children_unless_one_of_them_does(
    small: Catalogue, tmp_path: Path, first: str
) -> None:
    """This is decided once, so that a child's exports and the parent's never overlap."""
    layout, group = layout_of(small), Group(tmp_path)
    known: list[Group] = []

    def recorder(store: PointStore) -> Recorder:
        return Recorder(
            small, service="api", metrics=small.metrics, clock=lambda: 0.0, locked=False, store=store
        )

    parent = recorder(ParentStore(lambda: known[0] if known else None, layout))
    parent.counter(STEPS).inc(5, side="left")
    assert parent.claim_export() is ExportScope.OWN
    assert steps(parent, own_only=True) == 5
    known.append(group)
    children = [recorder(SharedStore(group, layout, slots_of(layout, small.metrics))) for _ in range(2)]
    for child in children:
        child.counter(STEPS).inc(side="left")
    turns = [
        each.claim_export() for each in ((parent, *children) if first == "parent" else (*children, parent))
    ]
    if first == "parent":
        assert turns == [ExportScope.ALL, ExportScope.NOTHING, ExportScope.NOTHING]
        assert steps(parent) == 7
        assert not parent.release_export()
        assert children[0].claim_export() is ExportScope.NOTHING
        parent._store.abandon()
        assert children[0].claim_export() is ExportScope.ALL
    else:
        assert turns == [ExportScope.ALL, ExportScope.NOTHING, ExportScope.OWN]
        assert steps(parent, own_only=True) + steps(children[0]) == 7
        children[0]._store.abandon()
        assert parent.claim_export() is ExportScope.OWN
        assert children[1].claim_export() is ExportScope.ALL
    sending = ExportLock(group)
    assert not sending.claim()
