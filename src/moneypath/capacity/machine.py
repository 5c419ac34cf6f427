"""Measure how much of the machine other work uses: if much, slow answers prove nothing about the build."""

import os
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Processors:
    """Processor seconds since the machine started: all, and those of one tree of processes."""

    used: float
    ours: float


def read_processors(pid: int | None = None) -> Processors:
    """Read both; the tree is that of `pid`, or of this process. Processes that have ended are not counted."""
    times = psutil.cpu_times()
    used = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
    root = psutil.Process(os.getpid() if pid is None else pid)
    ours = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            spent = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        ours += spent.user + spent.system
    return Processors(used, ours)


def used_by_others(before: Processors, after: Processors, seconds: float) -> float | None:
    """Return the share of all processors, 0 to 1, that other work used in between; None for no time."""
    capacity = seconds * (psutil.cpu_count() or 1)
    if capacity <= 0:
        return None
    others = (after.used - before.used) - (after.ours - before.ours)
    return min(1.0, max(0.0, others / capacity))
