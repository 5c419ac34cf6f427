"""Importing the library has no side effect, and an integration needs only its own library."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import moneypath.telemetry

PROBE = Path(__file__).with_name("import_probe.py")
TELEMETRY = Path(moneypath.telemetry.__file__).parent
# What a library cannot be imported without, though its metadata calls it optional.
BESIDES = {"psycopg": ["psycopg-binary"], "opentelemetry": ["opentelemetry-exporter-otlp-proto-http"]}

# The only side effect: a forked child reseeds our generator, so that it does not repeat its parent's ids.
RESEEDING = "moneypath.telemetry.correlation.ids: register_at_fork"


def modules() -> list[str]:
    """Return the name of every module of the library."""
    files = sorted(TELEMETRY.rglob("*.py"))
    relative = [file.relative_to(TELEMETRY.parents[1]).with_suffix("") for file in files]
    return [".".join(path.parts).removesuffix(".__init__") for path in relative]


def library_of(module: str) -> str | None:
    """Return the package that a module integrates, None if there is none."""
    if module.startswith(("moneypath.telemetry.otlp", "moneypath.telemetry.tracing.otel")):
        return "opentelemetry"
    name = module.rpartition(".")[2]
    return name if ".integrations." in module and name in packages() else None


@cache
def packages() -> dict[str, list[str]]:
    """Return the distributions that provide each importable package."""
    return {name: list(found) for name, found in metadata.packages_distributions().items()}


def needs(package: str | None) -> list[str]:
    """Return every package that is installed with this one and with structlog."""
    waiting = (
        ["structlog"] if package is None else ["structlog", *packages()[package], *BESIDES.get(package, [])]
    )
    brought: set[str] = set()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in brought:
            continue
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            # For another platform or another Python.
            continue
        brought.add(name)
        waiting += [re.split(r"[^\w.-]", one, maxsplit=1)[0] for one in requirements if "extra ==" not in one]
    return [
        importable
        for importable, found in packages().items()
        if any(re.sub(r"[-_.]+", "-", name).lower() in brought for name in found)
    ]


def probe(names: list[str], allowed: list[str], folder: Path | None = None) -> Any:
    """Import modules in a process of its own and return their side effects."""
    run = subprocess.run(
        # -B: bytecode that is written would be an opened file.
        [sys.executable, "-B", str(PROBE), json.dumps([names, allowed])],
        env={**os.environ, "PYTHONPATH": f"{folder}:{TELEMETRY.parents[1]}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


CORE = [
    module
    for module in modules()
    if ".integrations." not in module and library_of(module) is None and module != "moneypath.telemetry.otlp"
]
ALONE = [module for module in modules() if module not in CORE]


def test_core_does_nothing_on_import_and_needs_structlog_alone() -> None:
    """No thread, file, socket, handler, hook or setting, and no other package of the platform."""
    found = probe(CORE, needs(None))
    assert found["side_effects"] == [RESEEDING]
    assert found["loaded"] == ["moneypath", "structlog"]
    assert [module for module in found["modules"] if "telemetry" not in module] == ["moneypath.errors"]


def test_the_library_itself_loads_no_integration() -> None:
    """Importing `moneypath.telemetry` loads the core only."""
    modules = probe(["moneypath.telemetry"], needs(None))["modules"]
    assert not [module for module in modules if ".integrations" in module or ".otlp" in module]


@pytest.mark.parametrize("module", ALONE)
def test_module_about_a_library_needs_that_library_alone(module: str) -> None:
    """It imports without side effects while every other package is missing."""
    assert probe([module], needs(library_of(module)))["side_effects"] in ([], [RESEEDING])


def test_probe_refuses_what_is_not_there() -> None:
    """The negative twin: an integration cannot be imported without its library."""
    with pytest.raises(AssertionError, match="No module named 'psycopg'"):
        probe(["moneypath.telemetry.integrations.psycopg"], needs(None))


NAUGHTY = {
    "atexit.register(print)": "register",
    "os.register_at_fork(before=print)": "register_at_fork",
    "signal.signal(signal.SIGUSR1, print)": "signal",
    "logging.getLogger('x').addHandler(logging.NullHandler())": "addHandler",
    "logging.basicConfig()": "basicConfig",
    "warnings.simplefilter('ignore')": "simplefilter",
    "threading.Thread(target=print).start()": "start",
    "open('/dev/null').close()": "open",
    "socket.socket().close()": "socket.__new__",
    "os.environ['NAUGHTY'] = '1'": "os.putenv",
    "structlog.configure()": "changed structlog configured",
    "sys.excepthook = print": "changed excepthook",
}


@pytest.mark.parametrize(("side_effect", "told"), NAUGHTY.items())
def test_probe_sees_every_side_effect(tmp_path: Path, side_effect: str, told: str) -> None:
    """The negative twin: the probe reports every kind of side effect."""
    imports = "import atexit, logging, os, signal, socket, structlog, sys, threading, warnings\n"
    (tmp_path / "moneypath_naughty.py").write_text(imports + side_effect)
    side_effects = probe(["moneypath_naughty"], needs(None), tmp_path)["side_effects"]
    assert f"moneypath_naughty: {told}" in side_effects
