"""A bundle is consistent or broken, in a sentence, whatever was done to it; old ones keep their words."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.incidents.sabotage.bundles import SCENARIO, Bundle

from moneypath.drills.scoring import score
from moneypath.incidents.events import Event, read_events
from moneypath.incidents.evidence_files import EVENTS, MANIFEST, SCORECARD, EvidenceInvalid, hash_files
from moneypath.incidents.manifest import FORMAT_KEY, RUN_KEY, parse_manifest
from moneypath.incidents.timeline import Kind
from moneypath.incidents.verification import EvidenceVerdict, Link, References, Verification
from moneypath.workflows.evidence_bundle import write_bundle
from moneypath.workflows.evidence_verification import verify

PROJECT = Path(__file__).parents[2]
EARLIER = Path(__file__).parent / "bundles"
NAMES = ("fixed-metrics-passed", "fixed-metrics-failed", "listed-metrics-passed", "listed-metrics-failed")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Return the evidence of a drill that scored 1.00."""
    return Bundle(tmp_path, "run-1")


def _edit(name: str, change: Callable[[str], str]) -> Callable[[Bundle], object]:
    return lambda bundle: bundle.text(name, change)


def _remove(name: str) -> Callable[[Bundle], object]:
    return lambda bundle: (bundle.folder / name).unlink()


def _link(bundle: Bundle) -> None:
    (bundle.folder / EVENTS).rename(bundle.folder.parent / EVENTS)
    (bundle.folder / EVENTS).symlink_to(bundle.folder.parent / EVENTS)


def _manifest(before: str, after: str) -> Callable[[Bundle], object]:
    return _edit(MANIFEST, lambda text: text.replace(before, after))


def _event(before: str, after: str) -> Callable[[Bundle], object]:
    return _edit(EVENTS, lambda text: text.replace(before, after, 1))


FORMAT = '"format": 1'
SPOILED: list[tuple[str, Callable[[Bundle], object], str]] = [
    ("no events", _remove(EVENTS), "event log cannot be read: events.jsonl"),
    ("empty events", _edit(EVENTS, lambda _: ""), "events.jsonl is not the file"),
    ("edited event", _event('"page": 2', '"page": 3'), "event 9 "),
    ("torn event", _edit(EVENTS, lambda text: text[:-40]), "events.jsonl:28: not an event"),
    ("not a number", _event('"scale": 60', '"scale": NaN'), "event 1 (drill.started) was changed"),
    ("time that is text", _event('"ts_mono": 5000.0', '"ts_mono": "5"'), "a value is of another type"),
    ("time without end", _event('"ts_mono": 5000.0', '"ts_mono": Infinity'), "a value is of another type"),
    ("payload that is a list", _event('"payload": {}', '"payload": []'), "a value is of another type"),
    ("deep event", _edit(EVENTS, lambda _: "[" * 100_000), "events.jsonl:1: not an event"),
    ("events elsewhere", _link, "events.jsonl is no regular file"),
    ("no manifest", _remove(MANIFEST), "bundle is incomplete: manifest.json"),
    ("manifest of another shape", _edit(MANIFEST, lambda _: "[]"), "manifest.json is no JSON object"),
    ("manifest that is none", _edit(MANIFEST, lambda _: "{"), "manifest.json is not JSON"),
    ("deep manifest", _edit(MANIFEST, lambda _: "[" * 100_000), "manifest.json is not JSON"),
    ("manifest with nothing", _edit(MANIFEST, lambda _: f"{{{FORMAT}}}"), "run: Field required"),
    ("newer manifest", _manifest(FORMAT, '"format": 2'), "format is 2"),
    ("odd format", _manifest(FORMAT, '"format": true'), "format is True"),
    ("format 0", _manifest(FORMAT, '"format": 0'), "format is 0"),
    ("source unlisted", _manifest('"sources/moneypath.yaml"\n', '"m.yaml"\n'), "does not list m.yaml"),
    ("no scorecard", _remove(SCORECARD), "scorecard.json is missing"),
    ("edited scorecard", _edit(SCORECARD, lambda text: text.replace("true", "false")), "passed is False"),
    ("deep scorecard", _edit(SCORECARD, lambda _: "[" * 100_000), "scorecard.json is not JSON"),
]


@pytest.mark.parametrize(("name", "spoil", "words"), SPOILED, ids=[case[0] for case in SPOILED])
def test_a_touched_bundle_is_broken(
    bundle: Bundle, name: str, spoil: Callable[[Bundle], object], words: str
) -> None:
    """Edited, torn, missing or of another shape: always a sentence and never a stack trace."""
    spoil(bundle)
    found = bundle.verify(pager_file=bundle.pager_file)
    assert found.verdict is EvidenceVerdict.BROKEN, name
    sentences = [f"{divergence.link}: {divergence.what}" for divergence in found.divergences]
    assert any(words in sentence for sentence in sentences), sentences


def test_folder_without_evidence_is_named(tmp_path: Path) -> None:
    """It is no broken bundle, it is none."""
    with pytest.raises(EvidenceInvalid, match="no evidence of a drill"):
        verify(tmp_path, References())


def test_bundle_of_an_earlier_time_is_in_no_anchor_file(tmp_path: Path) -> None:
    """Nothing was anchored then."""
    (tmp_path / "anchors.jsonl").touch()
    found = verify(EARLIER / NAMES[0], References(anchor_file=tmp_path / "anchors.jsonl"))
    assert said(found) == ["a bundle without a format is in no anchor file"]


def said(found: Verification) -> list[str]:
    """Return every divergence in words."""
    return [divergence.what for divergence in found.divergences]


def test_a_better_score_with_a_manifest_to_match_is_refused(tmp_path: Path) -> None:
    """The manifest is no seal: the score must follow from the events."""
    bundle = Bundle(tmp_path, "run-1", story={"harm_ends": False})
    bundle.text(SCORECARD, lambda text: text.replace('"passed": false', '"passed": true'))
    bundle.list_again()
    found = bundle.verify()
    assert said(found) == ["scorecard.json: passed is True, the events give False"]
    assert found.divergences[0].link is Link.SCORE


def test_a_scorecard_with_one_key_more_is_refused(bundle: Bundle) -> None:
    """What the events do not give does not belong into the score."""
    bundle.text(SCORECARD, lambda text: text.replace('"passed"', '"approved_by": "audit", "passed"', 1))
    bundle.list_again()
    assert said(bundle.verify()) == ["scorecard.json: approved_by is 'audit', the events give None"]


def test_a_log_sealed_again_with_nonsense_in_it_is_refused(bundle: Bundle) -> None:
    """Its links hold, but no drill writes such an event."""
    bundle.events(
        lambda event: (
            replace(event, payload={"whole": False, "discrepancies": 7})
            if event.kind == Kind.LEDGER_TRUTH
            else event
        )
    )
    assert any("holds what no drill writes" in what for what in said(bundle.verify()))


def test_a_manifest_with_the_head_of_another_log_is_refused(bundle: Bundle) -> None:
    """A log that was cut at its end ends elsewhere."""
    bundle.events(lambda event: None if event.kind == Kind.DRILL_ENDED else event)
    bundle.list_again()
    assert said(bundle.verify()) == ["the log ends with event 27, which is not the manifest's head"]


def test_another_scenario_than_that_of_the_log_is_refused(bundle: Bundle) -> None:
    """The copy and the log say the same, whoever lists the files."""
    bundle.text("sources/drill-006-of-tests.yaml", lambda text: text.replace("within: 9m", "within: 90m"))
    bundle.list_again()
    assert said(bundle.verify()) == ["the copy of the scenario is not the scenario of the log"]


def test_a_bundle_of_this_project_covers_what_the_drill_ran_on(bundle: Bundle, tmp_path: Path) -> None:
    """Scenario, runbook, declaration, rules, the gate's limits, packages, versions; each copy is hashed."""
    sources = {"scenario": tmp_path / "scenario.yaml", "runbook": PROJECT / "runbooks" / "double-charge.md"}
    sources["scenario"].write_text(SCENARIO)
    shutil.rmtree(bundle.folder / "sources")
    events = read_events(bundle.folder / EVENTS)
    write_bundle(bundle.folder, PROJECT, sources, events, score(events))
    assert bundle.verify().divergences == ()
    manifest = parse_manifest((bundle.folder / MANIFEST).read_bytes())
    assert set(manifest.sources) == {"scenario", "runbook", "declaration", "rules", "gate", "packages"}
    assert manifest.sources["runbook"] == ("sources/runbooks/double-charge.md",)
    for names in manifest.sources.values():
        assert set(names) <= set(manifest.files)
    assert (manifest.software.commit is None) is not (PROJECT / ".git").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_of_an_earlier_time_is_read_by_its_own_words(name: str) -> None:
    """Before there was a format: other metric ids, metrics that no log listed, and rules of then."""
    found = verify(EARLIER / name, References())
    assert (found.format, found.verdict, found.scored_again) == (0, EvidenceVerdict.CONSISTENT, True)
    assert found.scorecard is not None
    assert found.scorecard["passed"] is name.endswith("passed")
    assert found.remarks == ("a manifest without a format does not cover: acknowledgements.jsonl",)


@pytest.mark.parametrize("name", NAMES)
def test_a_touched_bundle_of_an_earlier_time_is_broken(tmp_path: Path, name: str) -> None:
    """Its own words are held to."""
    shutil.copytree(EARLIER / name, tmp_path / "drill")
    file = tmp_path / "drill" / SCORECARD
    text = file.read_text()
    file.write_text(text.replace('"passed": true', '"passed": false').replace('"score": 0.', '"score": 1.'))
    found = verify(tmp_path / "drill", References())
    assert said(found)[0] == "scorecard.json is not the file that the manifest names: it was altered"
    assert any("the events give" in what for what in said(found))


def test_a_bundle_from_before_business_metrics_says_what_is_not_computed_again(tmp_path: Path) -> None:
    """One sentence, and no false break."""
    bundle = Bundle(tmp_path, "run-1")
    older = tmp_path / "older"
    shutil.copytree(EARLIER / "fixed-metrics-passed", older)
    bundle.folder = older
    bundle.events(lambda event: None if event.kind == Kind.MEASURED else event)
    card = json.loads((older / SCORECARD).read_text())
    del card["business"]
    (older / SCORECARD).write_text(json.dumps(card))
    list_by_first_format(older)
    found = bundle.verify()
    assert (found.verdict, found.scored_again) == (EvidenceVerdict.CONSISTENT, False)
    assert "the score is not computed again: it is of a time before business metrics" in found.remarks


def test_scorecard_that_lost_its_business_metrics_is_broken(bundle: Bundle) -> None:
    """The log has them, so it is of no such time: the score is computed all the same."""
    card = json.loads((bundle.folder / SCORECARD).read_text())
    del card["business"]
    (bundle.folder / SCORECARD).write_text(json.dumps({**card, "passed": False}))
    bundle.list_again()
    assert [what.partition(" is ")[0] for what in said(bundle.verify())] == [
        "scorecard.json: business",
        "scorecard.json: passed",
    ]


def list_by_first_format(folder: Path) -> None:
    """Write the manifest of a time without a format."""
    hashes = hash_files(folder)
    files = {name: hashes[name] for name in (EVENTS, SCORECARD)}
    manifest = {"drill": "drill-006-of-tests", "files": files, "sources": {}}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_downgrade_by_claiming_no_format(bundle: Bundle) -> None:
    """The log says which format its bundle has, and copies of sources came with one."""
    list_by_first_format(bundle.folder)
    assert said(bundle.verify())[:2] == [
        "manifest.json has no format, but sources came with one",
        "manifest.json has no format, but the log was written for one",
    ]


def test_downgrade_by_claiming_no_format_is_never_authenticated(bundle: Bundle) -> None:
    """Who rewrites the log as well has made an old bundle at home, and no more is said of it."""
    shutil.rmtree(bundle.folder / "sources")

    def older(event: Event) -> Event:
        payload = {key: value for key, value in event.payload.items() if key not in (FORMAT_KEY, RUN_KEY)}
        return replace(event, payload=payload)

    bundle.events(older)
    card = bundle.scorecard
    del card["waits_for_reports"]  # scorecards did not say it then
    (bundle.folder / SCORECARD).write_text(json.dumps(card))
    list_by_first_format(bundle.folder)
    found = bundle.verify()
    assert found.verdict is EvidenceVerdict.CONSISTENT
    assert bundle.verify(require_signature=True).verdict is EvidenceVerdict.BROKEN


def test_downgrade_by_claiming_earlier_rules(tmp_path: Path) -> None:
    """Earlier rules knew no second person; no bundle with a format was scored by them."""
    bundle = Bundle(tmp_path, "run-1", story={"approved": False})
    bundle.text(MANIFEST, lambda text: text.replace('"rules": 5', '"rules": 1'))
    assert said(bundle.verify())[0] == "manifest.json claims rules 1, which no such bundle had"


def test_downgrade_by_claiming_rules_without_metrics(bundle: Bundle) -> None:
    """Rules 2 do not compare the metrics; the log says by which rules it was written."""

    def lying(event: Event) -> Event | None:
        return None if event.kind == Kind.METRICS_COMPARED else event

    bundle.events(lying)
    bundle.seal_again()
    assert said(bundle.verify()) == []
    assert "metrics were never compared with clients and books" in bundle.scorecard["failures"]
    bundle.text(MANIFEST, lambda text: text.replace('"rules": 5', '"rules": 2'))
    assert "manifest.json claims rules 2, the log was written for rules 5" in said(bundle.verify())


def test_rules_that_are_not_known_yet(bundle: Bundle) -> None:
    """A score by later rules cannot be computed here."""
    bundle.text(MANIFEST, lambda text: text.replace('"rules": 5', '"rules": 9'))
    assert said(bundle.verify()) == ["manifest.json claims rules 9, and this version knows 5"]
