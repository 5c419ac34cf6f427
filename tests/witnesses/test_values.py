"""A witness file takes the values of a target in its paths, and names every one that nobody has."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.witnesses import WitnessFile, load_witnesses, with_values
from moneypath.witnesses.errors import WitnessInvalid

FILE = """
currencies: {EUR: 2}
witnesses:
  - {id: rows, role: ledger, dsn_file: "${secrets}/dsn", sql: "${secrets}/{kind}.sql", shape: single, kinds: {capture: [IN]}}
  - {id: told, role: answers, file: "{answers_file}", kinds: {capture: [IN]}}
reconcile:
  - {id: all, ledger: rows, answers: told}
"""  # noqa: E501 - one witness a line
VALUES = {"secrets": "/run/secrets", "kind": "topups", "answers_file": "/run/1/answers.jsonl"}


@pytest.fixture
def declared(tmp_path: Path) -> WitnessFile:
    """Return witnesses with placeholders in every path."""
    file = tmp_path / "witnesses.yaml"
    file.write_text(FILE)
    return load_witnesses(file)


def paths(declared: WitnessFile) -> list[str | None]:
    """Return every path of the witnesses."""
    return [path for one in declared.witnesses for path in (one.dsn_file, one.sql, one.file)]


def test_values_stand_in_every_path(declared: WitnessFile) -> None:
    """Written as in a target's file, either way; what was declared stays as it was."""
    before = paths(declared)
    placed = with_values(declared, VALUES)
    assert paths(placed) == [
        "/run/secrets/dsn", "/run/secrets/topups.sql", None, None, None, "/run/1/answers.jsonl"
    ]  # fmt: skip
    assert paths(declared) == before
    assert placed.reconcile == declared.reconcile
    assert [one.kinds for one in placed.witnesses] == [one.kinds for one in declared.witnesses]


@pytest.mark.parametrize(
    ("lacking", "witness"), [("secrets", "rows"), ("kind", "rows"), ("answers_file", "told")]
)
def test_a_value_that_nobody_has_is_named(declared: WitnessFile, lacking: str, witness: str) -> None:
    """With its witness, and what there is."""
    values = {name: value for name, value in VALUES.items() if name != lacking}
    with pytest.raises(WitnessInvalid, match=f"witness {witness}: there is no value for {lacking}") as raised:
        with_values(declared, values)
    assert raised.value.hint == f"Allowed: {', '.join(sorted(values))}."
    with pytest.raises(WitnessInvalid) as raised:
        with_values(declared, {})
    assert raised.value.hint == "Allowed: none."


def test_paths_without_placeholders_need_no_values(tmp_path: Path) -> None:
    """Every witness file of before goes on as it was, and other braces stay."""
    file = tmp_path / "witnesses.yaml"
    plain = FILE.replace("${secrets}", "in").replace("{kind}", "{Kind}").replace("{answers_file}", "{1}")
    file.write_text(plain)
    declared = load_witnesses(file)
    assert with_values(declared, {}) == declared


@given(st.text(max_size=30))
def test_a_value_is_put_in_as_it_is(value: str) -> None:
    """Whatever stands in it, be it a placeholder or a back reference: nothing of it is replaced again."""
    witness: dict[str, Any] = {
        "id": "told",
        "role": "answers",
        "file": "a/{x}/b",
        "kinds": {"capture": ["IN"]},
    }
    book = {"id": "bank", "role": "book", "file": "b", "kinds": {"capture": ["IN"]}}
    joined = {"id": "all", "books": ["bank"], "answers": "told"}
    file = WitnessFile.model_validate(
        {"currencies": {"EUR": 2}, "witnesses": [witness, book], "reconcile": [joined]}
    )
    assert with_values(file, {"x": value}).witnesses[0].file == f"a/{value}/b"
