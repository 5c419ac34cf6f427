"""`moneypath init` writes files that pass every check as they are, and overwrites nothing."""

import os
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from moneypath.capacity.target_gate import load_target_gate
from moneypath.path.defaults import camel_case
from moneypath.path.extension import OPERATIONS
from moneypath.stack.binaries import find
from moneypath.target.loader import load_target
from moneypath.workflows import generate
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.drill import lacks, load_drill
from moneypath.workflows.project_check import FileState, check_project
from moneypath.workflows.runbook_files import lint_runbooks
from moneypath.workflows.scaffold.answers import (
    MAX_OPERATION_CHARACTERS,
    Ci,
    LedgerKind,
    PathOperation,
)
from moneypath.workflows.scaffold.writing import init_project

from .fresh_project import TODAY, answers_of, contents, init

EXAMPLES: Final = max(1, settings().max_examples // 12)

# What YAML reads as something else unless it is quoted.
ODD: Final = st.sampled_from(["yes", "no", "on", "off", "null", "true", "false", "y", "e5"])
SLUGS: Final = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,3}", fullmatch=True) | ODD
SNAKES: Final = st.from_regex(r"[a-z][a-z0-9]{0,8}(_[a-z0-9]{1,8}){0,2}", fullmatch=True) | ODD
TITLES: Final = st.text(min_size=1, max_size=100).filter(
    lambda text: text.isprintable() and text.strip() != "" and not {*"{}"} & {*text}
)


def titled(ids: st.SearchStrategy[str], most: int) -> st.SearchStrategy[list[str]]:
    """Return lists of `id` and `id=title` with different ids."""
    item = st.builds(lambda name, title: f"{name}={title}" if title else name, ids, st.none() | TITLES)
    return st.lists(item, max_size=most, unique_by=lambda text: text.partition("=")[0])


def alert_word(operation: str) -> str:
    """Return the part of the operation in its alerts' names."""
    return camel_case(PathOperation(operation).stem).lower()


OWN: Final = SNAKES.filter(
    lambda text: text not in OPERATIONS and "latency" not in text and len(text) <= MAX_OPERATION_CHARACTERS
)
FLAGS: Final = st.fixed_dictionaries(
    {
        "name": st.none() | TITLES,
        "service": st.none() | SLUGS,
        "environment": SLUGS,
        "job": st.none() | SLUGS,
        "prefix": st.from_regex(r"[A-Z][A-Za-z0-9]{0,29}", fullmatch=True),
        "providers": titled(SNAKES.filter(lambda name: name != "none"), 4),
        "operations": st.lists(st.sampled_from(OPERATIONS) | OWN, max_size=4, unique_by=alert_word),
        "currencies": st.lists(
            st.builds(
                lambda code, digits: code if digits is None else f"{code}={digits}",
                st.from_regex(r"[A-Z][A-Z0-9]{2,11}", fullmatch=True) | st.just("YES"),
                st.none() | st.integers(0, 18),
            ),
            max_size=4,
            unique_by=lambda text: text.partition("=")[0],
        ),
        "roles": titled(st.from_regex(r"[a-z][a-z0-9]{0,8}([-_][a-z0-9]{1,8})?", fullmatch=True) | ODD, 4),
        "ci": st.sampled_from(Ci),
        "ledger": st.sampled_from(LedgerKind),
    }
)
ODDEST: Final[dict[str, Any]] = {
    "name": """a: "b" 'c' # @d \\ é 💶""",
    "service": "null",
    "environment": "true",
    "job": "no",
    "prefix": "True",
    "providers": ["null", "true=- [x] & *y"],
    "operations": ["true", "null", "authorize"],
    "currencies": ["YES=0", "NAN", "USDC=6", "X1E5=18"],
    "roles": ["null=~", "false= # "],
    "ci": Ci.GITLAB,
    "ledger": LedgerKind.POSTGRESQL,
}
LONG: Final[dict[str, Any]] = {
    "service": "s" * 60,
    "prefix": "P" * 30,
    "operations": ["o" * 40, "authorize"],
    "roles": ["r" * 32, "i" * 32, "third"],
    "providers": ["p" * 60, "q" * 60],
    "environment": "e" * 60,
}


def promtool(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the real promtool."""
    command = [str(find("promtool").path), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)


def require_sound(project: Path) -> None:
    """Hold a project against every check by itself, and against promtool."""
    report = check_project(project, today=TODAY)
    assert [one for one in report.results if one.state is not FileState.SOUND] == []
    path = load_declaration(project)
    assert generate.drifted(project) == []
    assert [str(issue) for issue in lint_runbooks(project, today=TODAY).errors] == []
    (target_file,) = (project / "targets").glob("*.yaml")
    target = load_target(target_file)
    assert target.document.target == target_file.stem
    (drill_file,) = (project / "drills").glob("*.yaml")
    drill = load_drill(project, drill_file, path)
    # Nothing that a drill needs before it breaks anything.
    assert lacks(drill, target.document) == []
    assert drill_file.stem in drill.runbook.front.drills
    assert load_target_gate(project / "loadtests" / "gate.yaml", path).objectives == tuple(
        slo.id for slo in path.slos
    )
    checked = promtool("check", "rules", "--lint-fatal", "alerts/rules/moneypath.rules.yml", cwd=project)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.heavy
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(flags=FLAGS)
@example(flags=LONG)
@example(flags=ODDEST)
@example(flags={})
def test_whatever_is_asked_for_passes_every_check(
    flags: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As it is; what was asked for stands in the files, and reads back as it was."""
    project = tmp_path_factory.mktemp("init") / "shop"
    answers = answers_of(flags)
    fresh = init_project(project, answers, today=TODAY)
    assert sorted(contents(project)) == sorted(fresh.written)
    require_sound(project)
    path = load_declaration(project)
    assert path.name == answers.name
    assert path.provider_ids() == tuple(each.id for each in answers.providers)
    assert dict(path.currencies) == dict(answers.currencies)
    assert path.reporting_currency == answers.currencies[0][0]
    assert [slo.operation for slo in path.availability_slos()] == [each.id for each in answers.operations]
    assert tuple(path.roles) == tuple(each.id for each in answers.roles)
    assert path.paged_roles() == (answers.on_call,)
    assert [target.job for target in path.targets] == [answers.job]
    for part in (*answers.providers, *answers.roles):
        if part.title:
            titles = {each.id: each.title for each in path.providers} | {
                name: role.title for name, role in path.roles.items()
            }
            assert part.title in {titles[part.id], *(each.title for each in path.providers)}


@pytest.mark.heavy
@pytest.mark.parametrize(
    "flags", [{}, {"providers": ["bank_one", "bank_two"], "operations": ["top_up"], "prefix": "Acme"}]
)
def test_the_tests_of_the_rules_pass(flags: dict[str, Any], tmp_path: Path) -> None:
    """Those that are generated, run by promtool."""
    init(tmp_path / "shop", **flags)
    tests = tmp_path / "shop" / "alerts" / "tests"
    done = promtool("test", "rules", *sorted(file.name for file in tests.iterdir()), cwd=tests)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environment", "drillable"), [("staging", True), ("production", False), ("live", False)]
)
def test_production_is_not_drillable_by_a_flag(environment: str, drillable: bool, tmp_path: Path) -> None:
    """Somebody has to write it into the file."""
    fresh = init(tmp_path / "shop", environment=environment)
    assert load_target(tmp_path / "shop" / "targets" / "shop.yaml").document.drillable is drillable
    assert any("drillable: false" in note for note in fresh.notes) is not drillable


def test_without_a_ledger_the_money_stays_unknown(tmp_path: Path) -> None:
    """The drill says so, and does not claim more; with one its witnesses are read."""
    init(tmp_path / "without" / "shop")
    path = load_declaration(tmp_path / "without" / "shop")
    drill = "drills/drill-001-authorization-failing.yaml"
    loaded = load_drill(tmp_path / "without" / "shop", tmp_path / "without" / "shop" / drill, path)
    assert loaded.scenario.expect.ledger_truth == "unknown"
    init(tmp_path / "with" / "shop", ledger=LedgerKind.POSTGRESQL)
    loaded = load_drill(tmp_path / "with" / "shop", tmp_path / "with" / "shop" / drill, path)
    assert loaded.scenario.expect.ledger_truth == "whole"
    assert (tmp_path / "with" / "shop" / "secrets" / ".gitignore").read_text().splitlines()[1:] == [
        "*",
        "!.gitignore",
    ]


TOXIPROXY: Final = """\
#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in
"toxic add"*) : > "$STATE" ;;
"toxic remove"*) [ -e "$STATE" ] || exit 1; rm "$STATE" ;;
inspect*) [ ! -e "$STATE" ] || echo moneypath: type=latency ;;
esac
"""


def test_the_fault_begins_and_ends_twice(tmp_path: Path) -> None:
    """With what stands for toxiproxy's command; the words are those that toxiproxy-cli documents."""
    init(tmp_path / "shop", providers=["bank_one"])
    tool = tmp_path / "bin" / "toxiproxy-cli"
    tool.parent.mkdir()
    tool.write_text(TOXIPROXY)
    tool.chmod(0o755)
    environment = {
        "PATH": f"{tool.parent}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "STATE": str(tmp_path / "on"),
    }

    def run(*words: str) -> int:
        command = ["sh", "break-provider.sh", *words]
        folder = tmp_path / "shop" / "targets"
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, check=False
        ).returncode

    assert run("begin", "bank_one", "500") == 0
    assert (tmp_path / "on").exists()
    assert (run("end", "bank_one"), run("end", "bank_one")) == (0, 0)
    assert not (tmp_path / "on").exists()
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == "toxic add --toxicName moneypath --type latency --attribute latency=500 bank_one"
    assert calls[2] == "toxic remove --toxicName moneypath bank_one"
    assert run("dance", "bank_one") == 2
    tool.write_text("#!/bin/sh\nexit 1\n")
    # A heal that failed has to be known.
    assert run("end", "bank_one") != 0
