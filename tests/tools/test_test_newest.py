"""Compose's Prometheus and Alertmanager, built by a fake Go: which versions, once, what failures say."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from test_newest import BuildFailed, Source, build, read_sources

PROJECT = Path(__file__).parents[2]
# Notes its calls; "downloads" the module that lies beside it, and builds files that hold plugins.go.
GO = """#!/bin/sh
echo "$*" >> "{folder}/calls"
case "$1" in
mod) printf '{{"Dir": "%s"}}' "{folder}/module" ;;
build) [ ! -e "{folder}/broken" ] || {{ echo "undefined: x" >&2; exit 1; }}
  for last; do case "$last" in */bin/) bin=$last;; esac; done
  for each; do case "$each" in ./cmd/*) cat plugins/plugins.go > "$bin$(basename "$each")";; esac; done ;;
esac
"""
SOURCE = Source("prometheus", "3.5.0", ("prometheus", "promtool"))


@pytest.fixture
def go(tmp_path: Path) -> str:
    """A fake Go with a read-only module, as Go's cache has them."""
    plugins = tmp_path / "module" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "plugins.go").write_text("package plugins // clouds")
    (plugins / "plugins.go").chmod(0o444)
    plugins.chmod(0o555)
    program = tmp_path / "go"
    program.write_text(GO.format(folder=tmp_path))
    program.chmod(0o755)
    return str(program)


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(folder / "cache")}


def test_the_versions_are_those_of_compose(tmp_path: Path) -> None:
    """A digest behind the tag changes nothing; Prometheus numbers its Go module in another way."""
    text = (PROJECT / "compose.yaml").read_text(encoding="utf-8")
    pinned = tmp_path / "compose.yaml"
    pinned.write_text(text.replace("prometheus:v3.5.0", f"prometheus:v3.12.1@sha256:{'0' * 64}"))
    prometheus, alertmanager = read_sources(pinned)
    assert prometheus.module == "github.com/prometheus/prometheus@v0.312.1"
    assert alertmanager == read_sources(PROJECT / "compose.yaml")[1]
    assert alertmanager.module == f"github.com/prometheus/alertmanager@v{alertmanager.version}"


def test_it_is_built_once_and_without_clouds(tmp_path: Path, go: str) -> None:
    """Into the cache, where the second call finds it."""
    folder = build(SOURCE, go, _environment(tmp_path))
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "prometheus": "package plugins\n",
        "promtool": "package plugins\n",
    }
    calls = (tmp_path / "calls").read_text()
    assert "mod download -json github.com/prometheus/prometheus@v0.305.0" in calls
    assert "version.Version=3.5.0" in calls
    assert build(SOURCE, go, _environment(tmp_path)) == folder
    assert (tmp_path / "calls").read_text() == calls
    assert (tmp_path / "module/plugins/plugins.go").stat().st_mode & stat.S_IWUSR == 0


def test_a_failed_build_leaves_nothing(tmp_path: Path, go: str) -> None:
    """It says what Go said, and the next call builds anew."""
    (tmp_path / "broken").touch()
    with pytest.raises(BuildFailed) as failed:
        build(SOURCE, go, _environment(tmp_path))
    assert "undefined: x" in failed.value.hint
    assert list((tmp_path / "cache/moneypath/built").iterdir()) == []


def test_without_go_nothing_is_tested_and_that_is_said() -> None:
    """Exit code 2: neither passed nor failed."""
    command = [sys.executable, str(PROJECT / "tools" / "test_newest.py")]
    ended = subprocess.run(
        command, env={"PATH": "/nowhere"}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Go is not installed: nothing was built and nothing tested.")
