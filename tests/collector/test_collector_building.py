"""The collector is found or built: without Go, and with a fake Go."""

import stat
from pathlib import Path

import pytest
import yaml

from moneypath.stack.collector import Manifest, build, find_built
from moneypath.stack.errors import BinaryMissing, CollectorUnbuilt

ROOT = Path(__file__).parents[2]

# `go install` leaves a builder; the program that this one makes is what it was told. Each call is noted.
GO = """#!/bin/sh
echo "go $*" >> "{calls}"
case "$1" in
version) echo "go version go{version} linux/amd64" ;;
install) [ -z "{fails}" ] || {{ echo "no such module"; exit 1; }}
  cp "{builder}" "$GOBIN/builder" ;;
esac
"""
BUILDER = """#!/bin/sh
echo "builder $*" >> "{calls}"
mkdir -p source
[ -e source/go.mod ] || exit 0
cat source/go.mod > source/moneypath-collector
echo "flags $GOFLAGS" >> "{calls}"
chmod 755 source/moneypath-collector
"""


def pretend(folder: Path, *, version: str = "1.26.0", fails: bool = False) -> dict[str, str]:
    """Put a fake Go into a folder and return the environment in which it is found."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    names = {"calls": folder / "calls", "builder": folder / "builder"}
    go = GO.format(**names, version=version, fails="yes" if fails else "")
    for program, text in ((programs / "go", go), (folder / "builder", BUILDER.format(**names))):
        program.write_text(text)
        program.chmod(0o755)
    return {"PATH": f"{programs}:/usr/bin:/bin", "XDG_CACHE_HOME": str(folder / "cache"), "GOFLAGS": "-v"}


def calls(folder: Path) -> list[str]:
    """Return the calls of the fake Go, without those for its version."""
    return [line for line in (folder / "calls").read_text().splitlines() if line != "go version"]


@pytest.fixture
def manifest() -> Manifest:
    """Return the repository's manifest."""
    return Manifest.read(ROOT / "collector/builder.yaml")


def test_without_go_it_says_so(manifest: Manifest, tmp_path: Path) -> None:
    """The collector is neither built nor found, and tests that need it are skipped with the reason."""
    environment = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    with pytest.raises(BinaryMissing, match="Go is not installed"):
        find_built(manifest, environment)
    with pytest.raises(BinaryMissing, match="Go is not installed"):
        build(manifest, progress=lambda _: None, environ=environment)


def test_it_is_built_once(manifest: Manifest, tmp_path: Path) -> None:
    """The builder of the manifest's release builds it once; another manifest or Go builds another."""
    environment = pretend(tmp_path)
    with pytest.raises(BinaryMissing, match="not built here"):
        find_built(manifest, environment)
    told: list[str] = []
    program = build(manifest, progress=told.append, environ=environment)
    assert program.stat().st_mode & stat.S_IXUSR
    for component in yaml.safe_load(manifest.text)["processors"]:
        assert component["gomod"] in program.read_text()
    assert f"go.opentelemetry.io/collector/otelcol v{manifest.version}" in program.read_text()
    assert calls(tmp_path)[0] == f"go install go.opentelemetry.io/collector/cmd/builder@v{manifest.version}"
    assert [line.split()[0] for line in calls(tmp_path)] == ["go", "builder", "builder", "flags"]
    assert calls(tmp_path)[-1] == "flags -v -mod=mod"
    assert build(manifest, progress=told.append, environ=environment) == program
    assert len(calls(tmp_path)) == 4
    assert find_built(manifest, environment) == program
    assert [entry.name for entry in program.parent.parent.glob("build-*")] == []
    other = Manifest(manifest.text + "# changed\n", manifest.version)
    newer = pretend(tmp_path, version="1.27.0")
    for found in ((other, environment), (manifest, newer)):
        with pytest.raises(BinaryMissing):
            find_built(*found)


def test_a_failure_is_reported_in_the_builders_words(manifest: Manifest, tmp_path: Path) -> None:
    """The cache contains nothing unfinished."""
    environment = pretend(tmp_path, fails=True)
    with pytest.raises(CollectorUnbuilt, match="go ended with 1") as failed:
        build(manifest, progress=lambda _: None, environ=environment)
    assert "no such module" in failed.value.hint
    assert [entry.name for entry in (tmp_path / "cache/moneypath/collector").iterdir()] == ["lock"]


def test_a_collector_of_the_users_own_is_taken(manifest: Manifest, tmp_path: Path) -> None:
    """The variable names it; if it cannot be run, that is an error and the search ends."""
    own = tmp_path / "otelcol"
    own.write_text("#!/bin/sh\n")
    environment = {"PATH": "", "MONEYPATH_COLLECTOR_BINARY": str(own)}
    with pytest.raises(BinaryMissing, match="cannot be run"):
        find_built(manifest, environment)
    own.chmod(0o755)
    with pytest.raises(BinaryMissing, match="does not name a collector and a version"):
        find_built(manifest, environment)
    own.write_text("#!/bin/sh\necho 'otelcol-contrib version 0.155.0'\n")
    assert find_built(manifest, environment) == own


def test_any_other_program_is_no_collector(manifest: Manifest) -> None:
    """GNU's `true --version` holds the words "version 3" of its licence, which are not its version."""
    with pytest.raises(BinaryMissing, match="MONEYPATH_COLLECTOR_BINARY=/bin/true: its --version"):
        find_built(manifest, {"PATH": "", "MONEYPATH_COLLECTOR_BINARY": "/bin/true"})


@pytest.mark.parametrize("text", ["dist: {}\n", "dist: {version: latest}\n", ": :\n  - ", "[]"])
def test_a_manifest_without_a_release_is_refused(text: str, tmp_path: Path) -> None:
    """The manifest pins the builder's version."""
    file = tmp_path / "builder.yaml"
    file.write_text(text)
    with pytest.raises(CollectorUnbuilt):
        Manifest.read(file)
