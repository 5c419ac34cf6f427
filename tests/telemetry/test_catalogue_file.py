"""The catalogue file reads back as written and is refused, by file and key, when it is broken."""

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
    """Nothing is lost between writing and reading, the order of labels included."""
    loaded = Catalogue.load(file)
    assert loaded == catalogue
    assert [list(spec.labels) for spec in loaded] == [list(spec.labels) for spec in catalogue]
    assert loaded.to_json() == catalogue.to_json()


def test_file_is_small_sorted_and_the_same_every_time(catalogue: Catalogue) -> None:
    """The file can be committed: one metric a line, whatever the order of declaration."""
    text = catalogue.to_json()
    assert Catalogue.of(reversed(list(catalogue))).to_json() == text
    names = [line.split('"')[3] for line in text.splitlines() if line.startswith('  {"name"')]
    assert names == sorted(catalogue.metrics)
    assert len(text) < 20_000


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda top: top.pop("version"), "catalogue.version: missing key"),
        (lambda top: top.update(version=2), "version: 2 is not 1"),
        (lambda top: top.update(version=True), "version: True is not 1"),
        (lambda top: top.update(metric=[]), "catalogue.metric: unknown key; allowed: version, metrics"),
        (lambda top: top.update(metrics={}), "metrics: has to be a list"),
        (lambda top: top["metrics"].append(3), "has to be an object"),
        (lambda top: top["metrics"][0].pop("help"), r"metrics\[0\].help: missing key"),
        (
            lambda top: top["metrics"][1].update(color="red"),
            r"metrics\[1\].color: unknown key; allowed: name",
        ),
        (
            lambda top: top["metrics"][0].update(kind="meter"),
            r"metrics\[0\].kind: 'meter' .*'counter', 'gauge'",
        ),
        (lambda top: top["metrics"][0].update(unit="hours"), r"metrics\[0\].unit: 'hours' .*'seconds'"),
        (lambda top: top["metrics"][0].update(unit=[]), r"metrics\[0\].unit"),
        (lambda top: top["metrics"][0].update(name=3), r"metrics\[0\].name: 3 is not of type str"),
        (lambda top: top["metrics"][0].update(series_budget=True), r"series_budget: True is not of type int"),
        (lambda top: top["metrics"][0].update(series_budget="9"), r"series_budget: '9' is not of type int"),
        (lambda top: top["metrics"][0].update(precreate=1), r"precreate: 1 is not of type bool"),
        (lambda top: top["metrics"][0].update(labels=[]), r"metrics\[0\].labels: has to be an object"),
        (lambda top: top["metrics"][0].update(labels={"a": "b"}), r"metrics\[0\].labels.a: has to be a list"),
        (lambda top: top["metrics"][0].update(labels={"a": [1]}), r"metrics\[0\].labels.a: has to be a list"),
        (
            lambda top: top["metrics"][0].update(buckets=["1"]),
            r"metrics\[0\].buckets: has to be a list of num",
        ),
        (
            lambda top: top["metrics"][0].update(name="Wrong_seconds"),
            "metric Wrong_seconds: name: has to be lower",
        ),
        (lambda top: top["metrics"].append(top["metrics"][0]), "declared twice"),
    ],
)
def test_broken_key_is_named_with_the_file(file: Path, change: Change, told: str) -> None:
    """Whatever is missing, unknown or wrong is told by file and key."""
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
        (b"[]", "catalogue: has to be an object"),
        (b'{"version": 1, "version": 1}', "version: key stands twice"),
        (b'{"version": NaN}', "NaN is not allowed"),
        (b" " * (SIZE_LIMIT_BYTES + 1), "larger than"),
    ],
)
def test_file_that_is_no_catalogue_is_refused(file: Path, content: bytes, told: str) -> None:
    """No content, however odd, gets past as anything but a clear refusal."""
    file.write_bytes(content)
    with pytest.raises(CatalogueInvalid, match=told) as refused:
        Catalogue.load(file)
    assert str(file) in refused.value.what


def test_missing_file_and_folder_are_told_by_name(tmp_path: Path) -> None:
    """A file that is not there, or is a folder, is one sentence with what to do."""
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(CatalogueInvalid, match="cannot be read") as refused:
            Catalogue.load(path)
        assert str(path) in refused.value.what
