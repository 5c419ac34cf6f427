"""Import modules of ours one by one and tell what else each of them did; run in a process of its own.

Arguments: the modules, and the packages from outside of the standard library that are allowed to exist.
"""

import atexit
import importlib
import importlib.abc
import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from importlib.metadata import Distribution, DistributionFinder, MetadataPathFinder
from types import FrameType, ModuleType
from typing import Any

AUDITED = ("open", "socket.", "subprocess.", "os.fork", "os.putenv", "os.system")
WATCHED = [
    (atexit, "register"),
    (os, "register_at_fork"),
    (signal, "signal"),
    (threading.Thread, "start"),
    (logging.Logger, "addHandler"),
    (logging.Logger, "setLevel"),
    (logging, "basicConfig"),
    (warnings, "filterwarnings"),
    (warnings, "simplefilter"),
]
deeds: list[str] = []


def note(what: str) -> None:
    """Note a deed if a module of ours did it: an import of somebody else's stands between us and theirs."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and "importlib" not in frame.f_code.co_filename:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("moneypath"):
            deeds.append(f"{name}: {what}")
            return
        frame = frame.f_back


def watch(owner: Any, name: str) -> None:
    """Note every call of a function."""
    original = getattr(owner, name)

    def watched(*arguments: Any, **named: Any) -> Any:
        note(name)
        return original(*arguments, **named)

    setattr(owner, name, watched)


def hear(event: str, _arguments: object) -> None:
    """Note what the interpreter itself reports."""
    if event.startswith(AUDITED):
        note(event)


class OnlyThese(importlib.abc.MetaPathFinder):
    """Find no package on the path but those that may be there."""

    def __init__(self, allowed: set[str]) -> None:
        self._allowed = allowed | set(sys.stdlib_module_names) | {"moneypath", "moneypath_naughty"}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Look for what is allowed."""
        package = name.partition(".")[0]
        # The interpreter's own figures bear its platform's name.
        if package in self._allowed or package.startswith("_sysconfigdata"):
            return PathFinder.find_spec(name, path, target)
        return None

    def find_distributions(self, context: DistributionFinder.Context) -> Iterable[Distribution]:
        """Tell the versions of packages, which some ask for when they are imported."""
        return MetadataPathFinder.find_distributions(context)


def state() -> dict[str, object]:
    """Return what an import must leave as it is."""
    structlog = sys.modules.get("structlog")
    return {
        "threads": len(threading.enumerate()),
        "root handlers": list(logging.root.handlers),
        "log level": logging.root.level,
        "excepthook": sys.excepthook,
        "threading.excepthook": threading.excepthook,
        "path": list(sys.path),
        "environment": dict(os.environ),
        "structlog configured": structlog is not None and structlog.is_configured(),
    }


def main() -> None:
    """Print the deeds as JSON, and every package that came to be loaded."""
    modules, allowed = json.loads(sys.argv[1])
    there = set(sys.modules)
    # In the place of all that looks for files; what is built in or frozen belongs to the interpreter.
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, OnlyThese(set(allowed))]
    for owner, name in WATCHED:
        watch(owner, name)
    sys.addaudithook(hear)
    for module in modules:
        before = state()
        importlib.import_module(module)
        deeds.extend(f"{module}: changed {name}" for name, value in state().items() if value != before[name])
    loaded = {name.partition(".")[0] for name in set(sys.modules) - there} - set(sys.stdlib_module_names)
    rooms = sorted(name for name in sys.modules if name.startswith("moneypath."))
    sys.stdout.write(json.dumps({"deeds": deeds, "loaded": sorted(loaded), "rooms": rooms}))


if __name__ == "__main__":
    main()
