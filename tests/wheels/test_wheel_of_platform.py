"""`pip install 'moneypath[platform]'`: the command line from the wheel, in a folder that is not ours."""

from importlib import metadata
from pathlib import Path

import pytest
from tests.wheels.conftest import Installed

from moneypath.cli.main import COMMANDS

pytestmark = [pytest.mark.proof, pytest.mark.wheels]

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "small-declaration.md"
TEN_LINES = GUIDE.read_text(encoding="utf-8").split("```yaml\n", 1)[1].split("```", 1)[0]
# What these observe is the user's own, and comes with the extras `otel` and `integrations`.
EVERY_MODULE = """
import importlib, pkgutil, sys
import moneypath

refused = {}
for module in pkgutil.walk_packages(moneypath.__path__, "moneypath.", onerror=lambda name: None):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as missing:
        refused[module.name] = missing.name
print(*sorted(f"{name}: {lacks}" for name, lacks in refused.items()), sep="\\n")
"""
OF_THE_USER = tuple(f"moneypath.telemetry.{name}" for name in ("integrations", "otlp", "tracing.otel"))


def test_every_module_loads_with_what_the_extra_brings(platform: Installed) -> None:
    """A package that only the working tree's environment has is missed here, not by a user."""
    told = platform.run("python", "-I", "-c", EVERY_MODULE).stdout.split("\n")
    unexpected = [line for line in told if line and not line.startswith(OF_THE_USER)]
    assert unexpected == []
    assert not platform.packages & {"refpay", "acquirers", "refstack", "locust", "opentelemetry", "nats"}


def test_version_and_help_of_every_command(platform: Installed) -> None:
    """The version is that of the distribution."""
    version = metadata.version("moneypath")
    assert platform.run("moneypath", "--version").stdout == f"moneypath, version {version}\n"
    listed = platform.run("moneypath", "--help").stdout
    assert "demo" not in listed
    for command in COMMANDS:
        assert f"\n  {command.name} " in listed
        assert platform.run("moneypath", command.name or "", "--help").stdout.startswith("Usage: moneypath")


def test_ten_lines_in_an_empty_folder(platform: Installed) -> None:
    """Everything is generated, and what reads it finds nothing to say."""
    assert list(platform.empty.iterdir()) == []
    (platform.empty / "moneypath.yaml").write_text(TEN_LINES)
    platform.run("moneypath", "generate")
    made = {file.relative_to(platform.empty).as_posix() for file in platform.empty.rglob("*")}
    assert {"catalogue.json", "alerts/rules/moneypath.rules.yml", "dashboards/money-path.json"} < made
    for command in (
        ("generate", "--check"),
        ("path",),
        ("map", "--format", "mermaid"),
        ("metrics", "reconciliation"),
        ("exporter", "--help"),
        ("audit", "--help"),
        ("target", "check", "--help"),
    ):
        platform.run("moneypath", *command)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("demo",), 2, "No such command 'demo'. No package that adds commands is installed here."),
        (("stack", "up"), 2, "No starter of a stack is installed"),
        (("exporter", "--once", "--checks", "nowhere.yaml"), 1, "nowhere.yaml"),
        (("target", "check", "nowhere.yaml"), 2, "nowhere.yaml"),
    ],
    ids=["demo", "stack", "exporter", "target"],
)
def test_what_is_missing_is_said(platform: Installed, command: tuple[str, ...], code: int, said: str) -> None:
    """In a sentence, with an exit code that is not 0."""
    (platform.empty / "moneypath.yaml").write_text(TEN_LINES)
    refused = platform.run("moneypath", *command, code=code)
    assert said in " ".join(refused.stderr.split())
