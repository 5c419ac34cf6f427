"""Import our modules one by one and report the side effects of each. Runs in a process of its own.

Arguments: the modules, and the third-party packages that may be importable.
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
side_effects: list[str] = []


def note(what: str) -> None:
    """Note a side effect if one of our modules caused it, and not a library that it imports."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and "importlib" not in frame.f_code.co_filename:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("moneypath"):
            side_effects.append(f"{name}: {what}")
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
    """Note an audit event of the interpreter."""
    if event.startswith(AUDITED):
        note(event)


class OnlyThese(importlib.abc.MetaPathFinder):
    """A finder that hides all packages except the allowed ones."""

    def __init__(self, allowed: set[str]) -> None:
        self._allowed = allowed | set(sys.stdlib_module_names) | {"moneypath", "moneypath_naughty"}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find an allowed package."""
        package = name.partition(".")[0]
        # The interpreter's own figures bear its platform's name.
        if package in self._allowed or package.startswith("_sysconfigdata"):
            return PathFinder.find_spec(name, path, target)
        return None

    def find_distributions(self, context: DistributionFinder.Context) -> Iterable[Distribution]:
        """Find the metadata of packages, which some of them read at import."""
        return MetadataPathFinder.find_distributions(context)


def state() -> dict[str, object]:
    """Return the state that an import must not change."""
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
    """Print the side effects as JSON, with every package that was loaded."""
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
        side_effects.extend(
            f"{module}: changed {name}" for name, value in state().items() if value != before[name]
        )
    loaded = {name.partition(".")[0] for name in set(sys.modules) - there} - set(sys.stdlib_module_names)
    modules = sorted(name for name in sys.modules if name.startswith("moneypath."))
    sys.stdout.write(json.dumps({"side_effects": side_effects, "loaded": sorted(loaded), "modules": modules}))


if __name__ == "__main__":
    main()
