"""Generated files are what the declaration yields, and any drift is found by name."""

import shutil
from pathlib import Path

import pytest

from moneypath.path.problems import DeclarationInvalid
from moneypath.workflows import generate
from moneypath.workflows.ownership import MANIFEST

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the declaration, the runbooks it names, and everything generated from it."""
    shutil.copytree(PROJECT / "runbooks", tmp_path / "runbooks")
    for name in ("moneypath.yaml", MANIFEST, *generate.generated(PROJECT)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            "    dashboard: money-path",
            "    dashboard: no-such-board",
            'there is no dashboard "no-such-board"',
        ),
        ("    runbook: cost-spike", "    runbook: no-such-book", 'there is no runbook "no-such-book"'),
    ],
)
def test_a_link_that_leads_nowhere_is_refused(copy: Path, before: str, after: str, words: str) -> None:
    """With file, line, key and what there is; nothing is generated from it."""
    declaration = copy / "moneypath.yaml"
    text = declaration.read_text(encoding="utf-8")
    declaration.write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(DeclarationInvalid, match=words):
        generate.check(copy)


def test_the_committed_files_are_up_to_date() -> None:
    """Nothing differs in the project itself."""
    assert generate.drifted(PROJECT) == []


@pytest.mark.heavy
def test_an_edited_missing_or_outdated_file_is_named(copy: Path) -> None:
    """Edits by hand, deletions and edits of the declaration are drift."""
    names = list(generate.generated(copy))
    edited = copy / "alerts" / "alertmanager.yml"
    edited.write_text(f"{edited.read_text()}# edited\n")
    (copy / names[1]).unlink()
    with pytest.raises(generate.GeneratedFilesDrifted) as caught:
        generate.check(copy)
    assert "alerts/alertmanager.yml" in caught.value.what
    assert names[1] in caught.value.what
    assert set(generate.write(copy).written) == {"alerts/alertmanager.yml", names[1]}
    declaration = copy / "moneypath.yaml"
    declaration.write_text(declaration.read_text().replace('objective: "0.999"', 'objective: "0.9995"'))
    assert generate.drifted(copy)


@pytest.mark.parametrize("name", ["docs/images/money-path.svg", "docs/money-path.mmd"])
def test_a_control_that_is_not_drawn_yet_is_drift(copy: Path, name: str) -> None:
    """A change that concerns the picture alone makes both pictures, and nothing else, out of date."""
    declaration = copy / "moneypath.yaml"
    before = declaration.read_text(encoding="utf-8")
    assert "kind: kyc" in before
    declaration.write_text(before.replace("kind: kyc", "kind: licence"), encoding="utf-8")
    drifted = generate.drifted(copy)
    assert name in drifted
    assert drifted[-1] == MANIFEST
    assert len(drifted) == 3
