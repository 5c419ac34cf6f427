"""A small disk that a test fills and frees: a tmpfs of its own, which needs the right to mount."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted filesystem."""

    folder: Path

    def fill(self) -> None:
        """Write until nothing more can be written, not even a small file."""
        with (self.folder / "ballast").open("ab", buffering=0) as ballast:
            for size in (_BLOCK, 512):
                try:
                    while True:
                        ballast.write(b"0" * size)
                except OSError:
                    continue

    def free(self) -> None:
        """Give back what was filled."""
        (self.folder / "ballast").unlink()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a disk of so many megabytes; skip the test where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as problem:
        pytest.skip(f"a small disk cannot be mounted here: {type(problem).__name__}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True, timeout=10)
