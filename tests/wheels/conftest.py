"""The wheels, and empty environments of them: no file of the repository is in reach of what runs there."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import wheels as tool
from wheels import Wheels


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment with its commands, an empty home and an empty folder to run them in."""

    binaries: Path
    home: Path
    empty: Path

    def run(
        self, *command: str | Path, code: int = 0, within_seconds: int = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, and demand this exit code and no stack trace."""
        program, *arguments = map(str, command)
        done = subprocess.run(
            [str(self.binaries / program), *arguments],
            cwd=self.empty,
            env={**tool.outside(), "HOME": str(self.home), "NO_COLOR": "1", **environment},
            capture_output=True,
            text=True,
            timeout=within_seconds,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done

    @property
    def packages(self) -> set[str]:
        """Return what can be imported, but pip's own and private modules."""
        (site,) = self.binaries.parent.glob("lib/python*/site-packages")
        found = {path.name.removesuffix(".py") for path in site.iterdir()}
        return {name for name in found if not name.endswith((".dist-info", ".libs")) and name[0] not in "_."}


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    """Both wheels, built once."""
    return tool.build(tmp_path_factory.mktemp("dist"))


Install = Callable[..., Installed]


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Return a function that makes an empty environment of these requirements."""

    def made(*requirements: str) -> Installed:
        folder = tmp_path_factory.mktemp("outside")
        for name in ("home", "empty"):
            (folder / name).mkdir()
        return Installed(
            tool.make_environment(folder / "venv", requirements), folder / "home", folder / "empty"
        )

    return made


@pytest.fixture(scope="session")
def base(install: Install, wheels: Wheels) -> Installed:
    """`pip install moneypath`."""
    return install(*wheels.requirements())


@pytest.fixture(scope="session")
def platform(install: Install, wheels: Wheels) -> Installed:
    """`pip install 'moneypath[platform]'`."""
    return install(*wheels.requirements(["platform"]))


@pytest.fixture(scope="session")
def reference(install: Install, wheels: Wheels) -> Installed:
    """`pip install moneypath-reference`."""
    return install(*wheels.requirements(reference=True))


@pytest.fixture(scope="session")
def runners(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """`uvx` and `pipx` in an environment of their own, hashes checked."""
    folder = tmp_path_factory.mktemp("runners")
    for name in ("home", "empty"):
        (folder / name).mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--quiet", "--python", str(python), "install"),
            *("--require-hashes", "--only-binary", ":all:"),
            *("--requirement", str(tool.ROOT / "requirements" / "runners.txt")),
        ],
        check=True,
        timeout=tool.INSTALL_SECONDS,
    )
    return Installed(folder / "venv" / "bin", folder / "home", folder / "empty")
