"""A bundle proves its score or is refused in one sentence, whatever was done to its files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from moneypath.drills.scoring import score
from moneypath.errors import MoneypathError
from moneypath.incidents.events import EventLog, EventLogBroken
from moneypath.incidents.timeline import Kind
from moneypath.path.loader import load
from moneypath.workflows import drill as drilling

PROJECT = Path(__file__).parents[2]
DRILL = PROJECT / "drills" / "drill-002-partial-provider-outage.yaml"


def _bundle(folder: Path, *more: tuple[str, dict[str, object]]) -> Path:
    log = EventLog(folder / drilling.EVENTS)
    text = DRILL.read_text(encoding="utf-8")
    log.append(Kind.DRILL_STARTED, "a drill", {"scenario": text, "scale": 60})
    for kind, payload in more:
        log.append(kind, "something", payload)
    log.close()
    drill = drilling.load_drill(PROJECT, DRILL, load(PROJECT / "moneypath.yaml"))
    drilling._bundle(folder, drill, score(log.events[:1]))
    return folder


def test_a_sound_bundle_is_scored_again(tmp_path: Path) -> None:
    """The twin of all that follows: nothing was touched, and the score is that of the events."""
    assert not drilling.verify(_bundle(tmp_path)).passed


def _edit(name: str, change: Callable[[str], str]) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert change(text) != text
        (folder / name).write_text(change(text), encoding="utf-8")

    return spoil


SPOILED: list[tuple[str, Callable[[Path], object]]] = [
    ("no events", lambda folder: (folder / drilling.EVENTS).unlink()),
    ("empty events", _edit(drilling.EVENTS, lambda _: "")),
    ("edited event", _edit(drilling.EVENTS, lambda text: text.replace("a drill", "my drill"))),
    ("torn event", _edit(drilling.EVENTS, lambda text: text[:-40])),
    ("not a number", _edit(drilling.EVENTS, lambda text: text.replace('"scale": 60', '"scale": NaN'))),
    ("deep event", _edit(drilling.EVENTS, lambda _: "[" * 100_000)),
    ("no manifest", lambda folder: (folder / drilling.MANIFEST).unlink()),
    ("manifest of another shape", _edit(drilling.MANIFEST, lambda _: "[]")),
    ("manifest without files", _edit(drilling.MANIFEST, lambda _: "{}")),
    ("manifest that names nothing", _edit(drilling.MANIFEST, lambda _: '{"files": {}}')),
    ("no scorecard", lambda folder: (folder / drilling.SCORECARD).unlink()),
    ("edited scorecard", _edit(drilling.SCORECARD, lambda text: text.replace("false", "true"))),
]


@pytest.mark.parametrize(("name", "spoil"), SPOILED, ids=[case[0] for case in SPOILED])
def test_a_touched_bundle_is_refused(tmp_path: Path, name: str, spoil: Callable[[Path], object]) -> None:
    """Edited, torn, missing or of another shape: always one sentence and never a stack trace."""
    spoil(_bundle(tmp_path))
    with pytest.raises(MoneypathError):
        drilling.verify(tmp_path)


def test_a_better_score_with_a_manifest_to_match_is_refused(tmp_path: Path) -> None:
    """The manifest is no seal: the score must follow from the events."""
    _edit(drilling.SCORECARD, lambda text: text.replace('"passed": false', '"passed": true'))(
        _bundle(tmp_path)
    )
    manifest = json.loads((tmp_path / drilling.MANIFEST).read_text())
    manifest["files"][drilling.SCORECARD] = drilling._digest(tmp_path / drilling.SCORECARD)
    (tmp_path / drilling.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(EventLogBroken, match="passed is True, the events give False"):
        drilling.verify(tmp_path)


def test_a_log_sealed_again_with_nonsense_in_it_is_refused(tmp_path: Path) -> None:
    """Its links hold, but no drill writes such an event."""
    with pytest.raises(EventLogBroken, match="holds what no drill writes"):
        drilling.verify(_bundle(tmp_path, (Kind.LEDGER_TRUTH, {"whole": False, "discrepancies": 7})))
