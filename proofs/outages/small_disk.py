"""A disk of its own for one folder, small enough to fill: a tmpfs, which only root may mount."""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proofs.outages.errors import MountRefused, OutageFailed

SIZE_MEBIBYTES: Final = 600
FILLER: Final = "filler"
_MEBIBYTE: Final = 1024 * 1024
_COMMAND_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted disk at `folder`."""

    folder: Path

    def fill(self) -> int:
        """Write until nothing more fits; return how many bytes that took. May be called again and again."""
        written = 0
        with (self.folder / FILLER).open("ab", buffering=0) as stream, _until_full():
            # What fits of the last piece is written too.
            while True:
                written += stream.write(bytes(_MEBIBYTE))
        return written

    def free(self) -> None:
        """Give the space back."""
        (self.folder / FILLER).unlink(missing_ok=True)

    def holds(self, path: Path) -> bool:
        """Tell whether a file or folder lies on this disk."""
        return path.stat().st_dev == self.folder.stat().st_dev


@contextlib.contextmanager
def _until_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


@contextlib.asynccontextmanager
async def small_disk(folder: Path, *, mebibytes: int = SIZE_MEBIBYTES) -> AsyncIterator[SmallDisk]:
    """Mount a small disk at a new folder for as long as the block lasts; raises MountRefused.

    Every user may enter it, because PostgreSQL does not run as root.
    """
    if os.geteuid() != 0:
        raise MountRefused("No small disk: only root may mount one.", hint="Run it as root.")
    folder.mkdir(parents=True)
    options = f"size={mebibytes}m,mode=0711,nosuid,nodev"
    try:
        await _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    except OutageFailed as refused:
        raise MountRefused(
            f"No small disk: {refused.what}", hint="Run it where root may mount; most containers forbid it."
        ) from refused
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily, because a server that was killed may still hold a file.
        await _run("umount", "-l", str(folder))
        folder.rmdir()


async def _run(*command: str) -> None:
    """Run a command; raises OutageFailed with what it said."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise OutageFailed(f"{command[0]} cannot be run ({error.strerror})") from error
    async with asyncio.timeout(_COMMAND_SECONDS):
        _, said = await process.communicate()
    if process.returncode != 0:
        raise OutageFailed(f"{command[0]} ended with {process.returncode}: {said.decode().strip()}")
