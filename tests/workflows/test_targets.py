"""The targets of a project: names are unique, and a stack is the target that its addresses name."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from moneypath.path.source import DeclarationInvalid
from moneypath.stack.endpoints import Endpoints
from moneypath.target.errors import VariableMissing
from moneypath.workflows.targets import TargetsClash, TargetUnknown, exchange_with_stack, known_actions

PROJECT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the reference's target."""
    (tmp_path / "targets").mkdir()
    shutil.copy(PROJECT / "targets" / "reference.yaml", tmp_path / "targets" / "a.yaml")
    return tmp_path


def _endpoints(folder: Path, *providers: str) -> Endpoints:
    return Endpoints(
        target="reference", service=NOWHERE, worker=NOWHERE, prometheus=NOWHERE, alertmanager=NOWHERE,
        pager=NOWHERE, providers=dict.fromkeys(providers, NOWHERE), oracle_dsn="",
        secrets_folder=folder, run_folder=folder, scale=60,
    )  # fmt: skip


def test_a_stack_is_the_target_that_its_addresses_name(project: Path) -> None:
    """By the name within the file, whatever the file is called; secrets are those of the run."""
    exchange = exchange_with_stack(project, _endpoints(project, "north", "south"))
    assert exchange.target.file == project / "targets" / "a.yaml"
    assert exchange.target.document.places["north"]["token"] == f"{project}/north_control_token"
    with pytest.raises(TargetUnknown, match="no file of the target shop; there are: reference"):
        exchange_with_stack(project, replace(_endpoints(project, "north", "south"), target="shop"))
    with pytest.raises(VariableMissing, match="without a value: providers_south"):
        exchange_with_stack(project, _endpoints(project, "north"))


def test_two_targets_of_one_name_are_refused(project: Path) -> None:
    """Both files are named."""
    shutil.copy(project / "targets" / "a.yaml", project / "targets" / "b.yaml")
    with pytest.raises(TargetsClash, match=r"b\.yaml: target: reference is the name of .*a\.yaml too"):
        known_actions(project)


def test_the_actions_are_those_of_all_targets(project: Path) -> None:
    """None without a target; those of two together; a file that is wrong is named."""
    assert "provider.drain" in known_actions(project)
    (project / "targets" / "b.yaml").write_text(
        "target: shop\nenvironment: test\nlook: {prometheus: {url: 'http://p'}}\n"
        "actions: {shop.close: {title: Close, call: {command: ['true']}}}\n"
    )
    assert {"provider.drain", "shop.close"} <= known_actions(project)
    (project / "targets" / "b.yaml").write_text("target: shop\n")
    with pytest.raises(DeclarationInvalid, match=r"b\.yaml"):
        known_actions(project)
    shutil.rmtree(project / "targets")
    assert known_actions(project) == frozenset()
