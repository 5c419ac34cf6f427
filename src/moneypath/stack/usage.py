"""What process trees use: memory, open connections and files, processor seconds, bytes written."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath.stack.memory import children_by_parent, read_pss_bytes

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """One reading of a process tree. Counters never fall, because what ended processes used is kept."""

    pss_bytes: int
    descriptors: int
    cpu_seconds: float
    written_bytes: int


@dataclass(frozen=True, slots=True)
class _Counters:
    cpu_seconds: float
    written_bytes: int


class UsageMeter:
    """Reads process trees by the ids of their roots, and remembers the counters of processes that ended.

    What a process used after the last reading before its end is lost. Raises PermissionError when a process
    may not be read: a part of the truth would look like a better build.
    """

    def __init__(self) -> None:
        self._seen: dict[int, _Counters] = {}

    def read(self, roots: Mapping[str, int]) -> Usage:
        """Read all trees together."""
        offspring = children_by_parent()
        waiting, pss, descriptors = list(roots.values()), 0, 0
        while waiting:
            pid = waiting.pop()
            waiting += offspring.get(pid, [])
            try:
                pss += read_pss_bytes(pid)
                descriptors += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
                self._seen[pid] = _Counters(_read_cpu_seconds(pid), _read_written_bytes(pid))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return Usage(
            pss_bytes=pss,
            descriptors=descriptors,
            cpu_seconds=sum(each.cpu_seconds for each in self._seen.values()),
            written_bytes=sum(each.written_bytes for each in self._seen.values()),
        )


def _read_cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _read_written_bytes(pid: int) -> int:
    """Return the bytes of all write calls: files, pipes, and sockets that are written like files."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("wchar:"):
            return int(line.split()[1])
    return 0
