"""The guides "add a provider" and "add an alert" are followed step by step on a copy of the project."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from moneypath.cli.main import moneypath
from moneypath.stack.binaries import find

PROJECT = Path(__file__).parents[2]
GUIDES = PROJECT / "docs" / "guides"
NEEDED = (
    "moneypath.yaml",
    "moneypath.sha256",
    "targets",
    "alerts",
    "benchmarks",
    "compose",
    "compose.yaml",
    "dashboards",
    "docs",
    "drills",
    "loadtests",
    "runbooks",
)


def steps(guide: str) -> dict[str, str]:
    """Return the text of each numbered step of a guide by its title."""
    text = (GUIDES / guide).read_text(encoding="utf-8")
    parts = re.split(r"^## \d+\. (.+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def blocks(step: str, language: str) -> list[str]:
    """Return the fenced blocks of a language in a step."""
    return re.findall(rf"^```{language}\n(.*?)^```", step, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of the project, without its code but for what is generated into it."""
    for name in NEEDED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("results", "__pycache__"))
        elif source.is_file():
            shutil.copyfile(source, tmp_path / name)
    for file in (PROJECT / "src").rglob("*.json"):
        (tmp_path / file.relative_to(PROJECT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, tmp_path / file.relative_to(PROJECT))
    return tmp_path


def declare(project: Path, key: str, block: str) -> None:
    """Put a block at the end of the list under a key, as an editor would."""
    file = project / "moneypath.yaml"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    (at,) = (number for number, line in enumerate(lines) if line.strip() == f"{key}:")
    indent = len(lines[at]) - len(lines[at].lstrip())
    end = at + 1
    for number in range(at + 1, len(lines)):
        content = lines[number].strip()
        if content and not content.startswith("#"):
            if len(lines[number]) - len(lines[number].lstrip()) <= indent:
                break
            end = number + 1
    file.write_text("".join([*lines[:end], block, *lines[end:]]), encoding="utf-8")


def run(project: Path, command: str) -> tuple[bool, str]:
    """Run a command of a guide in the copy; return whether it succeeded, and what it said."""
    program, *arguments = shlex.split(command)
    if program == "promtool":
        promtool = [str(find("promtool").path), *arguments]
        done = subprocess.run(promtool, cwd=project, capture_output=True, text=True, timeout=240, check=False)
        return done.returncode == 0, done.stdout + done.stderr
    assert program == "moneypath"
    # In this process, because the command line takes seconds to load.
    result = CliRunner().invoke(moneypath, [*arguments, "--project", str(project)])
    return result.exit_code == 0, f"{result.output}{result.exception or ''}"


def succeed(project: Path, step: str) -> None:
    """Run every command of a step; each has to end with 0."""
    commands = blocks(step, "sh")
    assert commands
    for command in commands:
        succeeded, said = run(project, command)
        assert succeeded, f"{command}: {said}"


def test_an_alert_is_added_as_the_guide_says(project: Path) -> None:
    """Declared, generated, proven by promtool, refused without a runbook, accepted with one."""
    step = steps("add-an-alert.md")
    (guard,) = blocks(step["Declare it"], "yaml")
    declare(project, "guards", guard)
    assert not run(project, "moneypath generate --check")[0]
    succeed(project, step["Generate"])
    assert run(project, "moneypath generate --check")[0]
    assert "MoneyPathPaymentsShed" in (project / "alerts/rules/moneypath.rules.yml").read_text()
    assert "MoneyPathPaymentsShed" in (project / "docs/metrics.md").read_text()
    (lint,) = blocks(step["Give it a runbook"], "sh")
    succeeded, said = run(project, lint)
    assert not succeeded
    assert "MoneyPathPaymentsShed" in said
    (name,) = blocks(step["Give it a runbook"], "yaml")
    page = project / "runbooks/slow-authorizations.md"
    text = re.sub(
        r"^(triggers: \[.*)\]", rf"\1, {name.strip()}]", page.read_text(), count=1, flags=re.MULTILINE
    )
    page.write_text(text, encoding="utf-8")
    succeeded, said = run(project, lint)
    assert succeeded, said


def test_a_drill_may_expect_the_new_alert() -> None:
    """The example has the form of the drills that there are."""
    (example,) = blocks(steps("add-an-alert.md")["Prove it"], "yaml")
    drill = (PROJECT / "drills" / "drill-017-card-testing.yaml").read_text(encoding="utf-8")
    form = re.sub(r"MoneyPath\w+", "NAME", example.splitlines()[2].split(", within")[0])
    assert form in re.sub(r"MoneyPath\w+", "NAME", drill)


def test_a_provider_is_added_as_the_guide_says(project: Path) -> None:
    """Declared with its fees, generated, proven by promtool, recorded under its own label."""
    step = steps("add-a-provider.md")
    provider, fees = blocks(step["Declare it"], "yaml")
    declare(project, "providers", provider)
    succeeded, said = run(project, "moneypath path")
    assert not succeeded
    assert "west" in said
    declare(project, "provider_fees", fees)
    succeed(project, step["Generate"])
    assert run(project, "moneypath generate --check")[0]
    for name in ("alerts/rules/moneypath.rules.yml", "docs/money-path.mmd", "src/refpay/catalogue.json"):
        assert "west" in (project / name).read_text(encoding="utf-8").lower(), name
    (code,) = blocks(step["Record it in your service"], "python")
    code += "print(recorder.render().decode())\n"
    recorded = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, timeout=60, check=True
    )
    counted = [
        line for line in recorded.stdout.splitlines() if 'provider="west"' in line and line.endswith(" 1.0")
    ]
    assert any(line.startswith("moneypath_payments_total{") for line in counted)


@pytest.mark.parametrize("guide", ["add-an-alert.md", "add-a-provider.md"])
def test_every_file_that_a_guide_names_is_there(guide: str) -> None:
    """Links, and paths in code."""
    text = (GUIDES / guide).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [link for link in links if not (GUIDES / link).exists()] == []
    paths = re.findall(r"`((?:alerts|runbooks|drills|tests|src)/[\w/.-]+\.\w+)`", text)
    made = {"alerts/tests/MoneyPathPaymentsShed.test.yml"}
    assert paths
    assert [path for path in paths if path not in made and not (PROJECT / path).exists()] == []
