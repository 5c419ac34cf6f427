"""Which machine measured: only figures of an equal one may be compared across runs."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import psutil


def machine_fingerprint() -> Mapping[str, str]:
    """Return what a figure depends on besides the build: processors, memory, kernel, Python."""
    return {
        "processor": _processor(),
        "processors": str(len(os.sched_getaffinity(0))),
        "memory_mebibytes": str(psutil.virtual_memory().total // 2**20),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
