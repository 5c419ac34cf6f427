"""Programs are found in the right order, and what does not fit is skipped and said."""

import os
from pathlib import Path

import pytest

from moneypath.stack import binaries
from moneypath.stack.binaries import Origin
from moneypath.stack.errors import BinaryMissing, PackageUnavailable


def _program(folder: Path, name: str, answer: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{answer}'\n")
    file.chmod(0o755)
    return file


def _environ(tmp_path: Path, *path: Path) -> dict[str, str]:
    return {"PATH": os.pathsep.join(map(str, path)), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_postgres_comes_from_the_wheel() -> None:
    """The wheel's PostgreSQL 18 is found although PATH may hold an older one."""
    found = binaries.find("postgres", environ={"PATH": os.environ.get("PATH", "")})
    assert (found.origin, found.version.split(".")[0]) == (Origin.WHEEL, "18")


def test_a_variable_comes_first(tmp_path: Path) -> None:
    """What the user names is used."""
    own = _program(tmp_path / "ein schöner Pfad", "pg", "postgres (PostgreSQL) 18.9")
    found = binaries.find("postgres", environ={"MONEYPATH_POSTGRES_BINARY": str(own)})
    assert (found.path, found.version, found.origin) == (own, "18.9", Origin.VARIABLE)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("postgres (PostgreSQL) 15.18", "15.18 is not >= 18, < 19"),
        ("hello", "its --version does not name postgres and a version"),
        ("version 18.2", "its --version does not name postgres and a version"),
        ("prometheus, version 18.2", "its --version does not name postgres and a version"),
        ("", "its --version does not name postgres and a version"),
    ],
)
def test_a_variable_that_does_not_fit_is_an_error(tmp_path: Path, answer: str, words: str) -> None:
    """A program of another name or version, or one without a version, is refused."""
    own = _program(tmp_path, "pg", answer)
    with pytest.raises(BinaryMissing, match=words):
        binaries.find("postgres", environ={"MONEYPATH_POSTGRES_BINARY": str(own)})


@pytest.mark.parametrize(
    "name", ["postgres", "nats-server", "prometheus", "promtool", "alertmanager", "amtool"]
)
def test_any_other_program_is_refused(name: str) -> None:
    """GNU's `true --version` holds the words "version 3" of its licence, which are not its version."""
    variable = f"MONEYPATH_{name.upper().replace('-', '_')}_BINARY"
    with pytest.raises(BinaryMissing, match=f"{variable}=/bin/true: its --version does not name {name}"):
        binaries.find(name, environ={variable: "/bin/true"})


def test_a_variable_that_leads_nowhere_is_an_error() -> None:
    """The path is named."""
    with pytest.raises(BinaryMissing, match=r"MONEYPATH_PROMETHEUS_BINARY=/nowhere: No such file"):
        binaries.find("prometheus", environ={"MONEYPATH_PROMETHEUS_BINARY": "/nowhere"})


@pytest.mark.parametrize("version", ["2.42.0", "2.55.1", "3.5.0"])
def test_path_is_searched_and_an_old_version_skipped(tmp_path: Path, version: str) -> None:
    """The first that fits is taken; the one before it is mentioned."""
    old = _program(tmp_path / "old", "prometheus", "prometheus, version 2.41.0 (branch: x)")
    new = _program(tmp_path / "new", "prometheus", f"prometheus, version {version} (branch: x)")
    found = binaries.find("prometheus", environ=_environ(tmp_path, old.parent, new.parent))
    assert (found.path, found.version, found.origin) == (new, version, Origin.PATH)
    assert found.skipped == (f"{old}: version 2.41.0 is not >= 2.42, < 4",)


def test_the_cache_comes_before_path(tmp_path: Path) -> None:
    """What was fetched once is used again, under Debian's name too."""
    environ = _environ(tmp_path, tmp_path / "path")
    _program(tmp_path / "path", "alertmanager", "alertmanager, version 0.28.0")
    assert binaries.find("alertmanager", environ=environ).origin is Origin.PATH
    kept = tmp_path / "cache/moneypath/packages" / os.uname().machine / "prometheus-alertmanager_0.27.0_any"
    _program(kept / "usr/bin", "prometheus-alertmanager", "alertmanager, version 0.27.0")
    found = binaries.find("alertmanager", environ=environ)
    assert (found.origin, found.version) == (Origin.CACHE, "0.27.0")


def test_a_missing_program_names_both_ways_out(tmp_path: Path) -> None:
    """Package and variable are named, and what was skipped."""
    old = _program(tmp_path / "old", "promtool", "promtool, version 1.0.0")
    with pytest.raises(BinaryMissing) as missing:
        binaries.find("promtool", environ=_environ(tmp_path, old.parent), may_fetch=False)
    for word in ("promtool >= 2.42, < 4", "package `prometheus`", "MONEYPATH_PROMTOOL_BINARY", str(old)):
        assert word in str(missing.value)


def test_a_machine_without_apt_names_both_ways_out(tmp_path: Path) -> None:
    """Where nothing can be fetched, the sentence still says what to do."""
    with pytest.raises(PackageUnavailable) as missing:
        binaries.find("prometheus", environ=_environ(tmp_path, tmp_path))
    for word in ("no apt-get", "apt install prometheus", "MONEYPATH_PROMETHEUS_BINARY"):
        assert word in str(missing.value)


def test_an_unknown_program_is_a_mistake_of_ours() -> None:
    """The names allowed are listed."""
    with pytest.raises(ValueError, match="postgres, nats-server, prometheus"):
        binaries.find("mysql")
