"""A catalogue file reads back as written. A broken one is refused, with file and key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moneypath.telemetry import Catalogue, CatalogueInvalid
from moneypath.telemetry.catalogue.file import SIZE_LIMIT_BYTES


@pytest.fixture
def file(tmp_path: Path, catalogue: Catalogue) -> Path:
    """Return a valid catalogue file."""
    path = tmp_path / "catalogue.json"
    path.write_text(catalogue.to_json(), encoding="utf-8")
    return path


def test_file_reads_back_as_the_same_catalogue(file: Path, catalogue: Catalogue) -> None:
    """Nothing is lost between writing and reading, not even the order of labels."""
    loaded = Catalogue.load(file)
    assert loaded == catalogue
    assert [list(spec.labels) for spec in loaded] == [list(spec.labels) for spec in catalogue]
    assert loaded.to_json() == catalogue.to_json()


def test_file_is_small_sorted_and_the_same_every_time(catalogue: Catalogue) -> None:
    """The file has one metric a line, in the same order however the metrics were declared."""
    text = catalogue.to_json()
    assert Catalogue.of(reversed(list(catalogue))).to_json() == text
    names = [line.split('"')[3] for line in text.splitlines() if line.startswith('  {"name"')]
    assert names == sorted(catalogue.metrics)
    assert len(text) < 23_500


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda top: top.pop("version"), '"catalogue.version" is missing'),
        (lambda top: top.update(version=2), '"version" is 2, not 1'),
        (lambda top: top.update(version=True), '"version" is True, not 1'),
        (
            lambda top: top.update(metric=[]),
            '"catalogue.metric" is not a known key; allowed: version, metrics',
        ),
        (lambda top: top.update(metrics={}), '"metrics" is not a list'),
        (lambda top: top["metrics"].append(3), "is not an object"),
        (lambda top: top["metrics"][0].pop("help"), r'"metrics\[0\].help" is missing'),
        (
            lambda top: top["metrics"][1].update(color="red"),
            r'"metrics\[1\].color" is not a known key; allowed: name',
        ),
        (
            lambda top: top["metrics"][0].update(kind="meter"),
            r"metrics\[0\].kind\" is 'meter'; allowed: 'counter', 'gauge'",
        ),
        (lambda top: top["metrics"][0].update(unit="hours"), r"metrics\[0\].unit\" is 'hours'; .*'seconds'"),
        (lambda top: top["metrics"][0].update(unit=[]), r"metrics\[0\].unit"),
        (lambda top: top["metrics"][0].update(name=3), r"metrics\[0\].name\" is 3, which is not of type str"),
        (
            lambda top: top["metrics"][0].update(series_budget=True),
            r"series_budget\" is True, which is not of type int",
        ),
        (
            lambda top: top["metrics"][0].update(series_budget="9"),
            r"series_budget\" is '9', which is not of type int",
        ),
        (lambda top: top["metrics"][0].update(precreate=1), r"precreate\" is 1, which is not of type bool"),
        (lambda top: top["metrics"][0].update(labels=[]), r"metrics\[0\].labels\" is not an object"),
        (lambda top: top["metrics"][0].update(labels={"a": "b"}), r"metrics\[0\].labels.a\" is not a list"),
        (lambda top: top["metrics"][0].update(labels={"a": [1]}), r"metrics\[0\].labels.a\" is not a list"),
        (
            lambda top: top["metrics"][0].update(buckets=["1"]),
            r"metrics\[0\].buckets\" is not a list of num",
        ),
        (
            lambda top: top["metrics"][0].update(name="Wrong_seconds"),
            "metric Wrong_seconds: name: must be lower",
        ),
        (
            # Redaction must not take the key for a name with its secret.
            lambda top: top["metrics"][0].update(extra_key=1),
            r'"metrics\[0\].extra_key" is not a known key; allowed: name',
        ),
        (lambda top: top["metrics"].append(top["metrics"][0]), "declared twice"),
    ],
)
def test_broken_key_is_named_with_the_file(file: Path, change: Change, told: str) -> None:
    """The error names the file and the key that is missing, unknown or wrong."""
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(CatalogueInvalid, match=told) as refused:
        Catalogue.load(file)
    assert str(file) in refused.value.what
    assert "moneypath generate" in refused.value.hint


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", '"catalogue" is not an object'),
        (b'{"version": 1, "version": 1}', '"version" occurs twice'),
        (b'{"version": NaN}', '"NaN" is not a number of JSON'),
        (b" " * (SIZE_LIMIT_BYTES + 1), "larger than"),
    ],
)
def test_file_that_is_no_catalogue_is_refused(file: Path, content: bytes, told: str) -> None:
    """Any other content is refused with a clear error."""
    file.write_bytes(content)
    with pytest.raises(CatalogueInvalid, match=told) as refused:
        Catalogue.load(file)
    assert str(file) in refused.value.what


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    """A missing file and a folder get one sentence and a hint."""
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(CatalogueInvalid, match="cannot be read") as refused:
            Catalogue.load(path)
        assert str(path) in refused.value.what
