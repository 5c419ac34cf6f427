"""How full a disk is: in bytes or inodes, and what is too little on a large one."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.catalogue.vocabulary import Disk
from refpay.measures import WORKER_METRICS
from refpay.worker.disks import DiskSpace, measure, show_disks

CATALOGUE = Path(__file__).parents[2] / "src" / "refpay" / "catalogue.json"
GIB = 1024**3


def disk_of(
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    free: int,
    *,
    kept: int = 0,
    inodes: tuple[int, int] = (0, 0),
) -> DiskSpace:
    """Measure a disk of so many bytes; `kept` are free for root alone, `inodes` are all and the free ones."""
    found = SimpleNamespace(
        f_frsize=1,
        f_blocks=size,
        f_bfree=free + kept,
        f_bavail=free,
        f_files=inodes[0],
        f_favail=inodes[1],
    )
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    return measure(Path())


@pytest.mark.parametrize(
    ("size_gib", "free_gib", "fill"),
    [(10, 10, 0.0), (10, 1, 0.9), (10, 0, 1.0), (50, 5, 0.9), (500, 45, 0.1), (500, 5, 0.9), (500, 400, 0.0)],
)
def test_a_large_disk_is_judged_by_its_last_50_gib(
    size_gib: int, free_gib: int, fill: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of a small disk; 5 GiB of a large one, not a tenth of it."""
    found = disk_of(monkeypatch, size_gib * GIB, free_gib * GIB)
    assert found.fill_ratio == pytest.approx(fill)
    assert found.free_bytes == free_gib * GIB


def test_what_is_kept_for_root_is_neither_free_nor_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service fails to write when df says 100 %."""
    assert disk_of(monkeypatch, 100, 0, kept=5).fill_ratio == 1
    assert disk_of(monkeypatch, 105, 50, kept=5).fill_ratio == pytest.approx(0.5)


def test_a_disk_without_inodes_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes alone would say that it is empty; a filesystem that counts none is judged by bytes."""
    assert disk_of(monkeypatch, 100, 100, inodes=(1000, 0)).fill_ratio == 1
    assert disk_of(monkeypatch, 100, 100).fill_ratio == 0


async def test_a_disk_that_cannot_be_read_has_no_series(tmp_path: Path) -> None:
    """Unknown is absent, never 0; the others are shown."""
    recorder = setup(Catalogue.load(CATALOGUE), service="refpay-worker", metrics=WORKER_METRICS)
    lost = tmp_path / "lost"
    lost.mkdir()
    await show_disks(recorder, {Disk.MESSAGES: tmp_path, Disk.DATABASE: lost})
    assert shown(recorder) == {"database", "messages"}
    lost.rmdir()
    await show_disks(recorder, {Disk.MESSAGES: tmp_path, Disk.DATABASE: lost})
    assert shown(recorder) == {"messages"}


def shown(recorder: Recorder) -> set[str]:
    """Return the disks that have a series."""
    lines = recorder.render().decode().splitlines()
    names = ("moneypath_disk_fill_ratio", "moneypath_disk_free_bytes")
    of_each = [{line.split('"')[1] for line in lines if line.startswith(f"{name}{{")} for name in names]
    assert of_each[0] == of_each[1]
    return of_each[0]
