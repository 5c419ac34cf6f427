"""One drill at a time on a stack: a lock in its run folder, which ends with the process that holds it."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from moneypath.errors import MoneypathError

FILE_NAME: Final = "drill.lock"
# `is_held` takes the lock for an instant, so one refusal means nothing.
_ACQUIRE_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 0.05


class StackInUse(MoneypathError):
    """Another drill runs on the same stack."""

    code = "stack_in_use"


@contextlib.contextmanager
def hold(run_folder: Path) -> Iterator[None]:
    """Hold the stack of `run_folder` for a drill; raises StackInUse when another drill holds it."""
    retrying = Retrying(
        retry=retry_if_exception_type(BlockingIOError),
        stop=stop_after_delay(_ACQUIRE_SECONDS),
        wait=wait_fixed(_RETRY_SECONDS),
        reraise=True,
    )
    with (run_folder / FILE_NAME).open("a") as file:
        try:
            retrying(_lock, file)
        except BlockingIOError:
            raise StackInUse(
                f"Another drill runs on this stack: {run_folder}.", hint="Wait until it has ended."
            ) from None
        yield


def is_held(run_folder: Path) -> bool:
    """Tell whether a drill holds the stack of `run_folder`."""
    try:
        with (run_folder / FILE_NAME).open("a") as file:
            _lock(file)
    except BlockingIOError:
        return True
    return False


def _lock(file: IO[str]) -> None:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
