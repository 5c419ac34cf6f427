"""Run a command of a target's file: a list of words, a time limit, and a limit of what it may print."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from moneypath.target.errors import CallUnanswered

_END_SECONDS: Final = 2.0


async def run_command(
    command: Sequence[str], folder: Path, seconds: float, bytes_max: int
) -> tuple[int, bytes]:
    """Return exit code and output of a command that is run in `folder`, without a shell.

    All processes that it started end with it. Raises CallUnanswered when it cannot be started, prints more
    than `bytes_max`, or is not over in time.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "a word holds a zero byte"
        raise CallUnanswered(
            f"`{command[0]}`: cannot be started: {why}.", hint="Name a program that stands in PATH."
        ) from None
    try:
        async with asyncio.timeout(seconds):
            output = await _read(process, bytes_max)
            if output is None:
                raise CallUnanswered(f"`{command[0]}`: printed more than {bytes_max} bytes.")
            return await process.wait(), output
    except TimeoutError:
        raise CallUnanswered(f"`{command[0]}`: was not over within {seconds:g} s.") from None
    finally:
        await asyncio.shield(_end(process))


async def _read(process: asyncio.subprocess.Process, bytes_max: int) -> bytes | None:
    """Return all that a process prints; None as soon as it is too much."""
    if process.stdout is None:
        raise RuntimeError("the process has no output")
    content = bytearray()
    while chunk := await process.stdout.read(64 * 1024):
        content += chunk
        if len(content) > bytes_max:
            return None
    return bytes(content)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of the process and of those that it started: they are a group of their own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
