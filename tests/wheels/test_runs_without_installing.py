"""`uvx` and `pipx run` start the command line, and the demo's too, from the wheels."""

import sys
from dataclasses import replace
from importlib import metadata
from subprocess import CompletedProcess

import pytest
from tests.wheels.conftest import Installed

import wheels as tool
from wheels import Wheels

pytestmark = [pytest.mark.proof, pytest.mark.wheels, pytest.mark.timeout(900)]

VERSION = f"moneypath, version {metadata.version('moneypath')}\n"
LACKS = "pip install 'moneypath[platform]'"


@pytest.fixture(scope="module")
def uvx(runners: Installed, wheels: Wheels) -> tuple[str, ...]:
    """The command, with our wheels and our versions beside the index."""
    return (
        *("uvx", "--no-config", "--python", sys.executable, "--constraints", str(tool.CONSTRAINTS)),
        *("--find-links", str(wheels.platform.parent)),
    )


def test_uvx(runners: Installed, wheels: Wheels, uvx: tuple[str, ...]) -> None:
    """From a file and by name; the library alone says what it lacks."""
    platform = f"{wheels.platform}[platform]"
    run = runners.run(*uvx, "--from", platform, "moneypath", "--version", within_seconds=400)
    assert run.stdout == VERSION
    for command in (("--help",), ("exporter", "--help")):
        assert "Usage: moneypath" in runners.run(*uvx, "--from", platform, "moneypath", *command).stdout
    assert LACKS in runners.run(*uvx, "--from", str(wheels.platform), "moneypath", code=1).stderr
    demo = ("demo", "--help")
    named = runners.run(*uvx, "moneypath-reference", *demo, within_seconds=400)
    both = ("--from", "moneypath[platform]", "--with", "moneypath-reference")
    beside = runners.run(*uvx, *both, "moneypath", *demo)
    assert named.stdout == beside.stdout
    assert "break a provider" in named.stdout


def test_pipx(runners: Installed, wheels: Wheels) -> None:
    """`pipx run`, and an installation that the reference is added to."""
    told = {"PIP_CONSTRAINT": str(tool.CONSTRAINTS), "PIP_FIND_LINKS": str(wheels.platform.parent)}
    told |= {"PIPX_DEFAULT_PYTHON": sys.executable, "PIPX_HOME": str(runners.home / "pipx")}
    told |= {"PIPX_BIN_DIR": str(runners.home / "bin"), "USE_EMOJI": "0"}
    platform = f"{wheels.platform}[platform]"

    def pipx(action: str, *arguments: str, code: int = 0) -> CompletedProcess[str]:
        # Where there is a uv it would be used, which is not told of constraints.
        options = ("--backend", "pip")
        return runners.run("pipx", action, *options, *arguments, code=code, within_seconds=400, **told)

    assert pipx("run", "--spec", platform, "moneypath", "--version").stdout == VERSION
    assert LACKS in pipx("run", "--spec", str(wheels.platform), "moneypath", code=1).stderr
    assert "break a provider" in pipx("run", "moneypath-reference", "demo", "--help").stdout

    pipx("install", platform)
    pipx("inject", "moneypath", "moneypath-reference")
    installed = replace(runners, binaries=runners.home / "bin")
    assert installed.run("moneypath", "--version").stdout == VERSION
    assert "break a provider" in installed.run("moneypath", "demo", "--help").stdout
