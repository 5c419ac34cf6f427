"""What holds for every test: examples have no deadline, machines are shared and no timing is a test.

`make test` draws the same examples each time, so that a failure is about the change at hand; `make explore`
draws new ones, to find what nobody thought of; `make test-quick` draws few.
"""

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Final

import psutil
import pytest
from hypothesis import HealthCheck, settings

# A shell gives its background jobs an ignored Ctrl-C, which children inherit: then no test of it could pass.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples that are drawn slowly are no failure either: hypothesis measures that by the wall clock.
patient = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", patient, derandomize=True)
settings.register_profile("explore", patient, derandomize=False, max_examples=500)
settings.register_profile("quick", patient, derandomize=True, max_examples=20)
settings.load_profile(os.environ.get("MONEYPATH_EXAMPLES", "same"))


MEMORY_DISK: Final = Path("/dev/shm")  # noqa: S108 - a folder below it is made for one session
ROOM_BYTES: Final = 6 * 2**30
_memory_folder = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep what tests write in memory where there is room for it, unless TMPDIR says where to.

    A database for each test is hundreds of files, made and removed: on a disk that costs ten times as much.
    Processes that tests start and other workers find the folder in their environment.
    """
    if "TMPDIR" in os.environ or not MEMORY_DISK.is_dir() or not os.access(MEMORY_DISK, os.W_OK):
        return
    if min(shutil.disk_usage(MEMORY_DISK).free, psutil.virtual_memory().available) < ROOM_BYTES:
        return
    folder = Path(tempfile.mkdtemp(prefix="moneypath-tests-", dir=MEMORY_DISK))
    folder.chmod(0o711)  # a server that gives up root has to come through
    config.stash[_memory_folder] = folder
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    config.add_cleanup(_forget_folder)


def _forget_folder() -> None:
    """Let another session in the same process make a folder of its own."""
    del os.environ["TMPDIR"]
    tempfile.tempdir = None


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the folder of a session that failed, for whoever looks for the reason."""
    folder = session.config.stash.get(_memory_folder, None)
    if folder is not None and exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        del session.config.stash[_memory_folder]
        session.config.get_terminal_writer().line(f"\nWhat the tests wrote is in memory, in {folder}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the memory back."""
    folder = config.stash.get(_memory_folder, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
