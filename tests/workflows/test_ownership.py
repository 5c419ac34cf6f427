"""`moneypath generate` overwrites what it wrote, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from moneypath.workflows import generate
from moneypath.workflows.ownership import MANIFEST, ManifestUnreadable, has_header

DECLARATION = """
name: Checkout
roles: {eng: {}}
providers: [{id: north}]
targets: [{job: checkout}]
slos: [{kind: latency, id: authorization-latency, threshold_seconds: "1", objective: "0.99"}]
"""
RULES = "alerts/rules/moneypath.rules.yml"
BURN_TEST = "alerts/tests/MoneyPathAuthorizationLatencyBurn.fast.test.yml"
GENERATED_JSON = ("catalogue.json", "dashboards/money-path.json")


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A project with a declaration and nothing else."""
    (tmp_path / "moneypath.yaml").write_text(DECLARATION, encoding="utf-8")
    return tmp_path


@pytest.fixture
def project(fresh: Path) -> Path:
    """A project in which everything is generated."""
    generate.write(fresh)
    return fresh


def declare(project: Path, before: str, after: str) -> None:
    """Edit the declaration."""
    text = (project / "moneypath.yaml").read_text(encoding="utf-8")
    assert before in text
    (project / "moneypath.yaml").write_text(text.replace(before, after), encoding="utf-8")


def contents(project: Path) -> dict[str, bytes]:
    """Return every file of a project."""
    return {str(file): file.read_bytes() for file in project.rglob("*") if file.is_file()}


def test_what_was_generated_is_generated_again(project: Path) -> None:
    """Nothing is written twice, and a changed declaration writes what follows from it."""
    assert generate.write(project) == generate.Generated((), ())
    declare(project, '"1"', '"1.5"')
    written = generate.write(project).written
    assert {RULES, BURN_TEST, "dashboards/money-path.json", MANIFEST} <= set(written)
    assert generate.check(project) > 0


def test_every_file_with_comments_has_the_header(project: Path) -> None:
    """So it is known as generated without the manifest."""
    for name, text in generate.generated(project).items():
        assert has_header(text) is not name.endswith(".json"), name


@pytest.mark.parametrize("name", [RULES, "docs/metrics.md", "docs/money-path.mmd", *GENERATED_JSON])
def test_a_hand_written_file_in_the_place_of_a_generated_one_is_kept(fresh: Path, name: str) -> None:
    """Nothing at all is written, and the refusal says which file and what to do."""
    (fresh / name).parent.mkdir(parents=True, exist_ok=True)
    (fresh / name).write_text("{}\n", encoding="utf-8")
    before = contents(fresh)
    with pytest.raises(
        generate.FileNotGenerated, match=rf"{name} (lacks the header|is not listed)"
    ) as refused:
        generate.write(fresh)
    assert contents(fresh) == before
    assert "`outputs`" in refused.value.hint
    assert "older version" in refused.value.hint


@pytest.mark.parametrize("name", GENERATED_JSON)
def test_generated_json_that_somebody_edited_is_kept(project: Path, name: str) -> None:
    """It has no header: only its hash says whose it is."""
    declare(project, '"0.99"', '"0.995"')
    declare(project, '"1"', '"1.5"')
    (project / name).write_text("{}\n", encoding="utf-8")
    with pytest.raises(generate.FileNotGenerated, match="was changed since it was generated"):
        generate.write(project)
    assert (project / name).read_text(encoding="utf-8") == "{}\n"
    (project / name).unlink()
    assert name in generate.write(project).written


def test_an_edited_file_with_the_header_is_written_again(project: Path) -> None:
    """The header says that edits are lost."""
    (project / RULES).write_text((project / RULES).read_text() + "# edited\n")
    assert generate.write(project).written == (RULES,)


def test_files_of_an_older_version_are_taken_over_once_they_are_gone(project: Path) -> None:
    """It kept no hashes: what is as it should be is taken over, and what is not has to go first."""
    (project / MANIFEST).unlink()
    assert generate.write(project).written == (MANIFEST,)
    (project / MANIFEST).unlink()
    (project / "catalogue.json").write_text("{}\n")
    with pytest.raises(generate.FileNotGenerated, match=rf"catalogue.json is not listed in {MANIFEST}"):
        generate.write(project)
    (project / "catalogue.json").unlink()
    assert set(generate.write(project).written) == {"catalogue.json", MANIFEST}


def test_what_is_generated_no_longer_is_named_and_not_deleted(project: Path) -> None:
    """A test of an alert of another name, and everything in a folder that has moved."""
    declare(project, "name:", "outputs: {dashboards: boards}\nalerts: {prefix: Acme}\nname:")
    done = generate.write(project)
    assert {BURN_TEST, "dashboards/money-path.json"} <= set(done.leftovers)
    assert (project / BURN_TEST).exists()
    with pytest.raises(generate.GeneratedFilesDrifted, match="does not yield any more") as found:
        generate.check(project)
    assert BURN_TEST in found.value.what
    # It is named for as long as it is there.
    assert generate.write(project).leftovers == done.leftovers
    for name in done.leftovers:
        (project / name).unlink()
    assert generate.write(project) == generate.Generated((MANIFEST,), ())
    assert generate.check(project) > 0


def test_what_an_older_version_left_is_named_by_its_header(project: Path) -> None:
    """It kept no list: a test of an alert of another name stands beside those that are generated now."""
    (project / MANIFEST).unlink()
    declare(project, "name:", "alerts: {prefix: Acme}\nname:")
    (project / "dashboards/money-path.json").unlink()
    done = generate.write(project)
    assert BURN_TEST in done.leftovers
    assert generate.write(project).leftovers == done.leftovers


def test_a_hand_written_file_beside_generated_ones_is_no_leftover(project: Path) -> None:
    """A test of somebody's own rules stays, and is not spoken of."""
    (project / "alerts/tests/own.test.yml").write_text("rule_files: []\n")
    (project / "alerts/tests/notes.md").write_text("Written by hand.\n")
    assert generate.write(project) == generate.Generated((), ())
    assert generate.check(project) > 0


def test_two_outputs_of_one_name_are_refused(fresh: Path) -> None:
    """The routes of a compose.yaml and of production would be one file."""
    declare(fresh, "name:", "outputs: {compose: alerts}\nname:")
    with pytest.raises(generate.OutputsCollide, match=r"outputs: .*alerts/alertmanager\.yml"):
        generate.write(fresh)


@pytest.mark.parametrize("place", ["../alerts", "/etc/alerts", "alerts/", "a/../../b", ".hidden", "a b"])
def test_an_output_outside_the_project_is_refused(fresh: Path, place: str) -> None:
    """By the declaration, before anything is generated."""
    declare(fresh, "name:", f"outputs: {{alerts: {place}}}\nname:")
    with pytest.raises(Exception, match=r"moneypath\.yaml:2: outputs\.alerts: "):
        generate.write(fresh)


@pytest.mark.parametrize("text", ["rubbish\n", "# by hand\n", "\udcff", f"{'0' * 64} one-space\n"])
def test_a_damaged_manifest_is_refused_by_name(project: Path, text: str) -> None:
    """Without it nobody could tell whose the JSON is."""
    (project / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ManifestUnreadable, match=MANIFEST):
        generate.write(project)


def test_a_folder_in_the_place_of_a_file_is_refused(fresh: Path) -> None:
    """As any other thing that is not ours."""
    (fresh / "catalogue.json").mkdir()
    with pytest.raises(generate.FileNotGenerated, match=r"catalogue\.json is not a text file"):
        generate.write(fresh)


def test_a_file_in_the_place_of_a_folder_is_refused(fresh: Path) -> None:
    """It is not replaced by the folder."""
    (fresh / "alerts").write_text("by hand")
    with pytest.raises(generate.GeneratedFileUnwritable, match="alerts"):
        generate.write(fresh)
    assert (fresh / "alerts").read_text() == "by hand"


def test_the_manifest_is_one_that_sha256sum_reads(project: Path) -> None:
    """Anybody can check it without moneypath."""
    if (program := shutil.which("sha256sum")) is None:
        pytest.skip("there is no sha256sum here")
    result = subprocess.run([program, "--check", "--strict", "--quiet", MANIFEST], cwd=project, check=False)
    assert result.returncode == 0


def test_the_command_says_what_it_kept(project: Path) -> None:
    """With exit code 1 and without a stack trace."""
    (project / RULES).write_text("groups: []\n")
    command = [sys.executable, "-m", "moneypath", "generate", "--project", str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert f"{RULES} lacks the header of a generated file" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
