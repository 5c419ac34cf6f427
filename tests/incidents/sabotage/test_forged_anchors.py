"""The anchor file is written as the drill goes, where its runner cannot take a line back."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.incidents.sabotage.bundles import Bundle

from moneypath.errors import MoneypathError
from moneypath.incidents.anchors import AnchorFailed, append, check_writable, new_anchor
from moneypath.incidents.events import LogHead
from moneypath.incidents.verification import Link
from moneypath.workflows.evidence_sealing import SealPlan


@pytest.fixture
def anchor(tmp_path: Path) -> Path:
    """Return the path of an anchor file."""
    return tmp_path / "anchors.jsonl"


@pytest.fixture
def anchored(tmp_path: Path, anchor: Path) -> Bundle:
    """Return a bundle whose start and end were anchored."""
    return Bundle(tmp_path, "run-1", SealPlan(anchor_file=anchor))


def change(anchor: Path, edit: Callable[[list[dict[str, object]]], object]) -> None:
    """Edit the lines of the file, which only its keeper can."""
    lines = [json.loads(line) for line in anchor.read_text().splitlines()]
    edit(lines)
    anchor.write_text("".join(json.dumps(line) + "\n" for line in lines))


def said(bundle: Bundle, anchor: Path) -> list[str]:
    """Return what the anchor says is wrong."""
    found = bundle.verify(anchor_file=anchor)
    assert {divergence.link for divergence in found.divergences} <= {Link.ANCHOR}
    return [divergence.what for divergence in found.divergences]


def test_start_and_end_of_a_run_are_anchored(anchored: Bundle, anchor: Path) -> None:
    """The twin of all that follows: two lines, the second with the manifest."""
    first, last = (json.loads(line) for line in anchor.read_text().splitlines())
    assert (first["run"], first["seq"], first["manifest"]) == ("run-1", 1, None)
    assert (last["run"], last["seq"], last["manifest"] is not None) == ("run-1", 28, True)
    assert said(anchored, anchor) == []


def test_anchor_line_missing(anchored: Bundle, anchor: Path) -> None:
    """A run that began and whose bundle was never anchored proves nothing."""
    change(anchor, lambda lines: lines.pop())
    assert said(anchored, anchor) == ["the anchor file does not hold the bundle of run run-1"]


def test_anchor_file_of_other_runs(tmp_path: Path, anchored: Bundle) -> None:
    """Another file holds other runs."""
    other = tmp_path / "other.jsonl"
    Bundle(tmp_path, "run-2", SealPlan(anchor_file=other))
    assert said(anchored, other) == ["the anchor file does not hold the bundle of run run-1"]


def test_second_bundle_of_the_same_run(tmp_path: Path, anchored: Bundle, anchor: Path) -> None:
    """The drill is repeated until it passes, under one name: both heads are there."""
    again = Bundle(tmp_path / "again", "run-1", SealPlan(anchor_file=anchor), story={"harm_ends": False})
    assert "line 4 of the anchor file names another event 26 of run run-1" in said(anchored, anchor)
    assert "line 2 of the anchor file names another event 28 of run run-1" in said(again, anchor)


def test_run_that_is_given_another_name(anchored: Bundle, anchor: Path) -> None:
    """The name stands in the first event too, and that event is anchored."""
    anchored.text("manifest.json", lambda text: text.replace('"run-1"', '"run-9"'))
    found = [divergence.what for divergence in anchored.verify(anchor_file=anchor).divergences]
    assert found == [
        "the log's first event names another format or run than the manifest",
        "the anchor file does not hold the bundle of run run-9",
    ]


def test_anchor_line_dated_back(anchored: Bundle, anchor: Path) -> None:
    """A line that is appended later with an earlier time is older than the line before it."""

    def date_back(lines: list[dict[str, object]]) -> None:
        lines[1]["at"] = "2020-01-01T00:00:00Z"

    change(anchor, date_back)
    assert said(anchored, anchor) == ["line 2 of the anchor file is older than the line before it"]


def test_anchor_file_that_is_none(anchored: Bundle, anchor: Path) -> None:
    """A line of another shape is named."""
    anchor.write_text(anchor.read_text() + "{}\n")
    with pytest.raises(MoneypathError, match=r"anchors\.jsonl:3: at: "):
        anchored.verify(anchor_file=anchor)


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "device"])
def test_anchor_file_that_is_no_regular_file(tmp_path: Path, kind: str) -> None:
    """What could be taken back, or swallows what is written, is refused before the drill."""
    file = tmp_path / "anchor"
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "link":
        (tmp_path / "real").touch()
        file.symlink_to(tmp_path / "real")
    else:
        file = Path("/dev/null")
    with pytest.raises(AnchorFailed, match=str(file)):
        check_writable(file)


def test_anchors_are_appended(anchor: Path) -> None:
    """An earlier line stays."""
    anchor.write_text("before\n")
    append(anchor, new_anchor("run-1", LogHead(1, "a" * 64)))
    assert anchor.read_text().startswith("before\n{")


def test_full_disk_is_a_sentence() -> None:
    """An anchor that cannot be written fails what asked for it."""
    with pytest.raises(AnchorFailed, match="no regular file"):
        append(Path("/dev/full"), new_anchor("run-1", LogHead(1, "a" * 64)))
