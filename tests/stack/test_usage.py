"""What process trees use: levels are read, counters never fall."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moneypath.stack import usage
from moneypath.stack.usage import UsageMeter

WORK = """
import os, sys
kept = b"x" * 30_000_000
files = [open(os.devnull) for _ in range(50)]
while sum(os.times()[:2]) < 0.2:
    pass
written = os.write(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), b"y" * 100_000)
print("ready", flush=True)
sys.stdin.readline()
"""


def test_a_tree_is_read_and_what_has_ended_still_counts(tmp_path: Path) -> None:
    """Memory and descriptors are those of living processes, seconds and bytes those of all there were."""
    meter = UsageMeter()
    with subprocess.Popen(
        [sys.executable, "-c", WORK, str(tmp_path / "out")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        alive = meter.read({"work": process.pid})
        process.communicate("\n")
    ended = meter.read({"work": process.pid})
    assert alive.pss_bytes > 30_000_000
    assert alive.descriptors >= 53
    assert alive.cpu_seconds >= 0.15
    assert alive.written_bytes >= 100_000
    assert (ended.pss_bytes, ended.descriptors) == (0, 0)
    assert (ended.cpu_seconds, ended.written_bytes) == (alive.cpu_seconds, alive.written_bytes)


def test_a_process_that_may_not_be_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the truth would look like a better build."""

    def refuse(_: int) -> int:
        raise PermissionError

    monkeypatch.setattr(usage, "read_pss_bytes", refuse)
    with pytest.raises(PermissionError):
        UsageMeter().read({"own": os.getpid()})
