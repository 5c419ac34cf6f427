"""Measure the disks under the folders that the service and its servers write to."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from moneypath.telemetry import Recorder
from moneypath.telemetry.catalogue.vocabulary import Disk

_LOG: Final = structlog.get_logger()
# A tenth of a large disk is plenty; a tenth of this is what is too little there.
COUNTED_MAXIMUM_BYTES: Final = 50 * 1024**3


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """How much may still be written, and how full the disk is: 1 is full, of bytes or of inodes."""

    free_bytes: int
    fill_ratio: float


def measure(folder: Path) -> DiskSpace:
    """Return the space of a folder's disk for users without privileges. Raises OSError."""
    found = os.statvfs(folder)
    # What is kept for root is neither free nor part of the size, as df computes it.
    free = found.f_bavail * found.f_frsize
    size = (found.f_blocks - found.f_bfree + found.f_bavail) * found.f_frsize
    fill = 1 - free / max(min(size, COUNTED_MAXIMUM_BYTES), 1)
    # Some filesystems count no inodes.
    inodes = 1 - found.f_favail / found.f_files if found.f_files else 0.0
    return DiskSpace(free, min(max(fill, inodes, 0.0), 1.0))


async def show_disks(recorder: Recorder, folders: Mapping[Disk, Path]) -> None:
    """Export every disk. One without a folder, or that cannot be read, has no series."""
    free, fill = recorder.gauge("moneypath_disk_free_bytes"), recorder.gauge("moneypath_disk_fill_ratio")
    for disk in Disk:
        try:
            found = await asyncio.to_thread(measure, folders[disk]) if disk in folders else None
        except OSError as problem:
            _LOG.warning("disk_not_measured", disk=disk.value, problem=type(problem).__name__)
            found = None
        if found is None:
            free.clear(disk=disk.value)
            fill.clear(disk=disk.value)
        else:
            free.set(found.free_bytes, disk=disk.value)
            fill.set(found.fill_ratio, disk=disk.value)
