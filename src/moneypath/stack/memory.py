"""Measure the memory of servers: the proportional set size (PSS) of whole process trees."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReading:
    """The memory of one process tree. If processes are `unreadable`, `pss_bytes` is a lower bound."""

    pss_bytes: int
    processes: int
    unreadable: int


def read_pss_bytes(pid: int) -> int:
    """Return the proportional set size of one process; 0 if it is just ending.

    Raises PermissionError, FileNotFoundError or ProcessLookupError.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def read_trees(
    roots: Mapping[str, int], read: Callable[[int], int] = read_pss_bytes
) -> dict[str, MemoryReading]:
    """Read each named process with all its descendants; a process that ends meanwhile is left out.

    A descendant that is a root itself counts only there. A process of another user that may not be read
    counts as unreadable.
    """
    offspring = children_by_parent()
    return {
        name: _read_tree(pid, offspring, set(roots.values()) - {pid}, read) for name, pid in roots.items()
    }


def children_by_parent() -> dict[int, list[int]]:
    """Return the ids of the children of every process that has some."""
    offspring: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(errors="replace")
        except OSError:
            continue
        parent = int(stat.rpartition(")")[2].split()[1])
        offspring.setdefault(parent, []).append(int(entry.name))
    return offspring


def _read_tree(
    root: int, offspring: Mapping[int, list[int]], others: set[int], read: Callable[[int], int]
) -> MemoryReading:
    total = processes = unreadable = 0
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        waiting += [child for child in offspring.get(pid, ()) if child not in others]
        try:
            total += read(pid)
            processes += 1
        except PermissionError:
            unreadable += 1
        except (FileNotFoundError, ProcessLookupError):
            continue
    return MemoryReading(pss_bytes=total, processes=processes, unreadable=unreadable)
