"""What a forge and an editor read of the project agrees with what the project does."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from test_matrix import VERSIONS

PROJECT = Path(__file__).parents[2]
WORKFLOW = PROJECT / ".github" / "workflows" / "ci.yml"
METADATA = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REFERENCE = tomllib.loads((PROJECT / "reference" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TEMPLATES = sorted((PROJECT / ".github" / "ISSUE_TEMPLATE").glob("*.md"))


def load(path: Path) -> Any:
    """Return what a YAML file holds."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def job() -> Any:
    """Return the only job of the workflow."""
    (only,) = load(WORKFLOW)["jobs"].values()
    return only


def test_the_workflow_runs_what_ci_run_runs() -> None:
    """It calls the same script, so that the two cannot differ, and nothing else that could fail."""
    runs = [step["run"] for step in job()["steps"] if "run" in step]
    assert runs == ["sudo apt-get update", "bash .ci/run"]
    subprocess.run(["bash", "-n", str(PROJECT / ".ci" / "run")], check=True)


def test_the_workflow_answers_to_pushes_and_pull_requests() -> None:
    """YAML 1.1 reads the key `on` as true, and a forge does not."""
    triggers = load(WORKFLOW)[True]
    assert set(triggers) == {"push", "pull_request"}
    assert load(WORKFLOW)["permissions"] == {"contents": "read"}


def test_every_place_names_the_same_pythons() -> None:
    """Workflow, matrix, classifiers and the oldest one that is required."""
    assert tuple(job()["strategy"]["matrix"]["python"]) == VERSIONS
    prefix = "Programming Language :: Python :: 3."
    named = [each.rpartition(" ")[2] for each in METADATA["classifiers"] if each.startswith(prefix)]
    assert tuple(named) == VERSIONS
    assert METADATA["requires-python"] == f">={VERSIONS[0]}"


def test_both_distributions_say_the_same_of_themselves() -> None:
    """Pythons, licence and addresses; one version, which the reference also asks of the platform."""
    for key in ("version", "requires-python", "license", "urls", "classifiers"):
        told = (
            [each for each in METADATA[key] if each != "Typing :: Typed"]
            if key == "classifiers"
            else METADATA[key]
        )
        assert REFERENCE[key] == told, key
    assert REFERENCE["dependencies"][0] == f"moneypath[load,platform]=={METADATA['version']}"


def test_the_matrix_says_which_pythons_are_at_hand() -> None:
    """The one that runs this test is."""
    command = [sys.executable, str(PROJECT / "tools" / "test_matrix.py"), "--list"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    lines = answer.stdout.splitlines()
    assert [line.split()[1] for line in lines] == list(VERSIONS)
    assert all("at hand" in line for line in lines)


def test_the_projects_addresses_are_those_of_the_forge() -> None:
    """Homepage, documentation, changes and issues."""
    assert set(METADATA["urls"]) == {"Homepage", "Documentation", "Changelog", "Issues"}
    assert all(url.startswith("https://github.com/moneypath/moneypath") for url in METADATA["urls"].values())


def test_each_hook_before_a_commit_is_a_part_of_make_check() -> None:
    """What a commit passes, `make check` passes too."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("\ncheck:", 1)[1].split("\n\n", 1)[0]
    recipe = recipe.replace("$(RUN) ", "").replace("@", "")
    (local,) = load(PROJECT / ".pre-commit-config.yaml")["repos"]
    for hook in local["hooks"]:
        words = [word for word in shlex.split(hook["entry"]) if word != "--force-exclude"]
        called = " ".join(words).removeprefix(".venv/bin/python -m ").removeprefix(".venv/bin/")
        assert called in recipe, hook["id"]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_an_issue_template_says_what_it_is_for(template: Path) -> None:
    """A forge lists templates by name and description."""
    head = yaml.safe_load(template.read_text(encoding="utf-8").split("---\n")[1])
    assert head["name"]
    assert head["about"]


@pytest.mark.parametrize(
    "page", ["SECURITY.md", ".github/pull_request_template.md", "CONTRIBUTING.md", "CHANGELOG.md"]
)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    """Files and folders are there."""
    path = PROJECT / page
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []
