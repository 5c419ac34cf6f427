"""Generated files are what the declaration yields, and any drift is found by name."""

import shutil
from pathlib import Path

import pytest

from moneypath.workflows import generate

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the declaration and of everything generated from it."""
    for name in ("moneypath.yaml", *generate.generated(PROJECT)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / name, tmp_path / name)
    return tmp_path


def test_the_committed_files_are_up_to_date() -> None:
    """Nothing differs in the project itself."""
    assert generate.drifted(PROJECT) == []


def test_an_edited_missing_or_outdated_file_is_named(copy: Path) -> None:
    """Edits by hand, deletions and edits of the declaration are drift."""
    names = list(generate.generated(copy))
    (copy / names[0]).write_text("edited")
    (copy / names[1]).unlink()
    with pytest.raises(generate.GeneratedFilesDrifted) as caught:
        generate.check(copy)
    assert names[0] in caught.value.what
    assert names[1] in caught.value.what
    assert generate.write(copy) == names[:2]
    declaration = copy / "moneypath.yaml"
    declaration.write_text(declaration.read_text().replace('objective: "0.999"', 'objective: "0.9995"'))
    assert generate.drifted(copy)


@pytest.mark.parametrize("name", ["docs/images/money-path.svg", "docs/money-path.mmd"])
def test_a_gate_that_is_not_drawn_yet_is_drift(copy: Path, name: str) -> None:
    """A change that concerns the picture alone makes both pictures, and nothing else, out of date."""
    declaration = copy / "moneypath.yaml"
    before = declaration.read_text(encoding="utf-8")
    assert "kind: kyc" in before
    declaration.write_text(before.replace("kind: kyc", "kind: licence"), encoding="utf-8")
    drifted = generate.drifted(copy)
    assert name in drifted
    assert len(drifted) == 2
