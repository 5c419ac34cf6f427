"""Debian's packages are fetched with the machine's own sources, once, without root."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from moneypath.stack import binaries, packages
from moneypath.stack.errors import PackageUnavailable

needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="this machine has no apt-get")
_PACKAGE = "prometheus-alertmanager"
_PROGRAM = "usr/bin/prometheus-alertmanager"
# What a bare environment still needs on a machine behind a proxy.
_ENVIRON = {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")} | {
    "PATH": "/usr/bin:/bin"
}


@needs_apt
async def test_two_at_once_fetch_once(tmp_path: Path) -> None:
    """The second waits for the first and uses what that one fetched; nothing else is left in the cache."""
    told: list[str] = []
    both = [asyncio.to_thread(packages.fetch, _PACKAGE, tmp_path, _ENVIRON, told.append) for _ in range(2)]
    first, second = await asyncio.gather(*both)
    assert first == second == packages.unpacked(_PACKAGE, tmp_path)[0]
    assert len([line for line in told if line.startswith("fetching")]) == 1
    assert len([line for line in told if line.startswith("waiting")]) == 1
    assert {path.name for path in first.parent.iterdir()} == {"fetch.lock", first.name}
    found = binaries.find("alertmanager", environ={"MONEYPATH_ALERTMANAGER_BINARY": str(first / _PROGRAM)})
    assert found.version.startswith("0.")


@needs_apt
def test_offline_is_said_in_apts_words(tmp_path: Path) -> None:
    """Without a network the error quotes apt and leaves no half-fetched package."""
    environ = {
        "PATH": "/usr/bin:/bin",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    with pytest.raises(PackageUnavailable, match=r"package lists not fetched.*\n    .*127\.0\.0\.1"):
        packages.fetch(_PACKAGE, tmp_path, environ)
    assert packages.unpacked(_PACKAGE, tmp_path) == []


def _fake_apt(folder: Path, apt_get: str) -> dict[str, str]:
    for name, body in {"apt-get": apt_get, "dpkg-deb": 'mkdir -p "$3/usr/bin"'}.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


@needs_apt
def test_prometheus_comes_with_its_web_pages(tmp_path: Path) -> None:
    """The scripts that its pages link to lie in other packages; every link leads somewhere."""
    folder = packages.fetch("prometheus", tmp_path, _ENVIRON)
    pages = folder / "usr" / "share" / "prometheus" / "web" / "static"
    links = [path for path in pages.rglob("*") if path.is_symlink()]
    assert len(links) >= 10
    assert [link.name for link in links if not link.exists()] == []


def test_an_unknown_package_is_said(tmp_path: Path) -> None:
    """A distribution that does not carry the package answers so."""
    environ = _fake_apt(tmp_path, 'case "$*" in *download*) echo "E: Unable to locate" >&2; exit 100;; esac')
    with pytest.raises(PackageUnavailable, match=r"package not fetched: shop;.*\n    E: Unable to locate"):
        packages.fetch("shop", tmp_path / "cache", environ)


@pytest.mark.parametrize("needed", [True, False])
def test_a_broken_source_matters_only_if_it_is_needed(tmp_path: Path, needed: bool) -> None:
    """Where one of many package sources is down, the download is tried; the first failure is the reason."""
    download = "exit 100" if needed else "touch shop_1_any.deb"
    script = f'case "$*" in *download*) {download};; *) echo "E: source down" >&2; exit 100;; esac'
    environ = _fake_apt(tmp_path, script)
    if needed:
        with pytest.raises(PackageUnavailable, match=r"lists not fetched.*\n    E: source down"):
            packages.fetch("shop", tmp_path / "cache", environ)
    else:
        assert packages.fetch("shop", tmp_path / "cache", environ).name == "shop_1_any"


def test_the_fixed_template_path_becomes_portable(tmp_path: Path) -> None:
    """Only the templates' path changes, and no byte moves."""
    fixed = b"/usr/share/prometheus/alertmanager"
    program = tmp_path / "program"
    before = b"\x00ab" + fixed + b"more" + fixed + b"/ui/" + fixed + b"/no-ui/"
    program.write_bytes(before)
    packages._make_portable(program)
    after = program.read_bytes()
    assert len(after) == len(before)
    changed = after[3 : 3 + len(fixed)].decode()
    assert Path(changed) == Path(packages.PORTABLE_TEMPLATES)
    assert after.replace(changed.encode(), fixed) == before
