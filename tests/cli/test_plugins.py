"""Packages beside the platform bring commands and starters; a broken one breaks nothing but itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from moneypath.cli import plugins
from moneypath.cli.main import moneypath

PROJECT = Path(__file__).parents[2]
PACKAGE = '''
import click
from moneypath.errors import MoneypathError
from moneypath.stack.starters import Build


@click.command(epilog="Example: moneypath greet")
def greet() -> None:
    """Greet whoever asks."""
    click.echo("hello from elsewhere")


class ShopStarter:
    build = Build(api="shop.app", worker="shop.worker")
    build_servers = ("shop",)

    def running(self, settings, announce):
        raise MoneypathError(f"The shop was asked to start at scale {settings.scale}.")


STARTER = ShopStarter()
'''
POINTS = """
[moneypath.commands]
greet = shop_stack:greet
path = shop_stack:greet
broken = no_such_package.commands:broken
nothing = shop_stack:STARTER

[moneypath.stacks]
shop = shop_stack:STARTER
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a package into a folder, as pip would."""
    folder = tmp_path_factory.mktemp("site")
    metadata = folder / "shop_stack-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-stack\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(POINTS)
    (folder / "shop_stack.py").write_text(PACKAGE)
    return folder


def _moneypath(site: Path | None, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    places = {"PYTHONPATH": str(site)} if site else {}
    return subprocess.run(
        [sys.executable, "-m", "moneypath", *arguments],
        cwd=PROJECT,
        env={**os.environ, "NO_COLOR": "1", **places, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_command_of_another_package_is_listed_and_runs(installed: Path) -> None:
    """With those that the reference stack adds, in one list."""
    listed = _moneypath(installed, "--help").stdout
    for name in ("demo", "secrets", "drill", "greet     Greet whoever asks."):
        assert f"\n  {name}" in listed
    assert "greet" not in _moneypath(None, "--help").stdout
    assert _moneypath(installed, "greet").stdout == "hello from elsewhere\n"


def test_a_command_of_the_platform_is_never_replaced(installed: Path) -> None:
    """Whatever a package calls its own."""
    assert "moneypath.yaml is sound" in _moneypath(installed, "path").stdout


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("broken", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("nothing", "shop_stack:STARTER is no click command"),
    ],
)
def test_a_command_that_cannot_be_loaded_says_why_and_hinders_no_other(
    installed: Path, name: str, why: str
) -> None:
    """It is listed with the others, and refuses when it is called, whatever is typed behind it."""
    listed = _moneypath(installed, "--help")
    assert listed.returncode == 0
    assert f"\n  {name}" in listed.stdout
    refused = _moneypath(installed, name, "--keep", "more")
    assert refused.returncode == 2
    assert f"The command {name} cannot be loaded: {why}." in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with-others"])
def test_an_unknown_command_may_belong_to_a_package_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    """It is said where there is none; a wrong letter in `generate` is what click says of it."""
    if alone:
        monkeypatch.setattr(plugins, "entry_points", lambda **_: ())
    said = CliRunner().invoke(moneypath, ["dema"]).output
    assert "No such command 'dema'" in said
    assert ("No package that adds commands is installed here." in said) is alone


STARTING = [
    ("stack", "up", "--scale", "7"),
    ("drill", "run", "drills/drill-002-partial-provider-outage.yaml", "--scale", "7"),
]


@pytest.mark.parametrize("command", STARTING, ids=["stack", "drill"])
@pytest.mark.parametrize("chosen", ["option", "environment"])
def test_the_chosen_starter_is_asked(
    installed: Path, tmp_path: Path, command: tuple[str, ...], chosen: str
) -> None:
    """The platform starts what it is told, and needs to know nothing of it."""
    state = {"XDG_STATE_HOME": str(tmp_path)}
    if chosen == "option":
        asked = _moneypath(installed, *command, "--starter", "shop", **state)
    else:
        asked = _moneypath(installed, *command, **state, MONEYPATH_STARTER="shop")
    assert "The shop was asked to start at scale 7." in asked.stderr
    assert asked.returncode == 1


@pytest.mark.parametrize("command", [*STARTING, ("gate",)], ids=["stack", "drill", "gate"])
def test_a_choice_that_nobody_made_is_asked_for(installed: Path, command: tuple[str, ...]) -> None:
    """Nothing is started, and for the gate it is bad input and no failed build."""
    refused = _moneypath(installed, *command)
    assert "Several starters of a stack are installed: reference, shop." in refused.stderr
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_the_gate_looks_for_the_build_of_the_chosen_starter(installed: Path) -> None:
    """Its modules are not those of the reference stack."""
    refused = _moneypath(installed, "gate", "--starter", "shop")
    assert "no such build: there is no module shop.app" in refused.stderr
    assert refused.returncode == 2
    one = _moneypath(installed, "gate", "--starter", "reference", "--worker-build", "no_such_worker")
    assert "no such build: there is no module no_such_worker" in one.stderr
