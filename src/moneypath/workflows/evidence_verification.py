"""Verify an evidence bundle: files, log, score, seals, anchor, and what the pager kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from moneypath.drills.scoring import RULES, RULES_KEY
from moneypath.errors import MoneypathError
from moneypath.incidents import anchors
from moneypath.incidents.events import Event, read_events
from moneypath.incidents.evidence_files import (
    EVENTS,
    HINT,
    MANIFEST,
    SCORECARD,
    SEALS,
    SIGNATURE,
    SOURCES,
    EvidenceInvalid,
    hash_files,
    parse_object,
    read_bytes,
    sha256,
)
from moneypath.incidents.manifest import (
    FIRST_FORMAT,
    FORMAT_KEY,
    RUN_KEY,
    Manifest,
    compare,
    parse_manifest,
    read_format,
)
from moneypath.incidents.pager_record import read_pager_record
from moneypath.incidents.seals import check_seals
from moneypath.incidents.timeline import Kind
from moneypath.incidents.verification import Link, Notes, References, SealResult, Verification
from moneypath.telemetry.redaction import redact_values
from moneypath.workflows.scoring_again import (
    FIRST_RULES,
    RULES_WITHOUT_METRICS,
    ScoredOtherwise,
    differences,
    score_again,
)

FIRST_RULES_OF_FORMAT_1: Final = 2
"""No bundle of format 1 was scored by earlier rules than these."""


def verify(folder: Path, references: References) -> Verification:
    """Check everything that can be checked; what is wrong is in the result, and raises nothing.

    Raises EvidenceInvalid for a folder that is no bundle, and MoneypathError for a reference that cannot be
    read.
    """
    if not any((folder / name).exists() for name in (MANIFEST, EVENTS, SCORECARD)):
        raise EvidenceInvalid(f"no evidence of a drill: {folder}", hint=HINT)
    notes = Notes()
    content = notes.guarded(Link.MANIFEST, lambda: read_bytes(folder / MANIFEST)) or b""
    form = notes.guarded(Link.MANIFEST, lambda: read_format(content)) if content else None
    manifest = notes.guarded(Link.MANIFEST, lambda: parse_manifest(content)) if form else None
    events = notes.guarded(Link.EVENT_LOG, lambda: read_events(folder / EVENTS)) or ()
    if manifest is not None:
        _check_bundle(folder, manifest, events, notes)
    elif form == FIRST_FORMAT:
        _check_first_format(folder, content, events, notes)
    scorecard = notes.guarded(Link.SCORE, lambda: parse_object(read_bytes(folder / SCORECARD), SCORECARD))
    rules = FIRST_RULES if manifest is None else manifest.rules
    scored = bool(events) and scorecard is not None and _check_score(events, scorecard, rules, notes)
    seals = SealResult() if form is None else check_seals(folder, content, references, notes)
    run = manifest.run if manifest else ""
    return Verification(
        format=FIRST_FORMAT if form is None else form,
        run=run,
        scorecard=scorecard,
        scored_again=scored,
        seals=seals,
        anchored=_check_anchor(folder, run, content, events, references, notes),
        pager_covers=_check_pager(events, references, notes),
        divergences=tuple(notes.divergences),
        remarks=tuple(notes.remarks),
    )


def _check_bundle(folder: Path, manifest: Manifest, events: Sequence[Event], notes: Notes) -> None:
    """Hold files and log against a manifest of format 1."""
    found = notes.guarded(Link.FILES, lambda: hash_files(folder))
    for what in () if found is None else compare(manifest.files, found):
        notes.diverges(Link.FILES, what)
    for name in (EVENTS, SCORECARD, *(name for names in manifest.sources.values() for name in names)):
        if name not in manifest.files:
            notes.diverges(Link.MANIFEST, f"{MANIFEST} does not list {name}")
    if manifest.rules < FIRST_RULES_OF_FORMAT_1:
        notes.diverges(Link.MANIFEST, f"{MANIFEST} claims rules {manifest.rules}, which no such bundle had")
    if not events:
        return
    first, last = events[0].payload, events[-1]
    if (last.seq, last.hash) != (manifest.head.seq, manifest.head.hash):
        notes.diverges(Link.MANIFEST, f"the log ends with event {last.seq}, which is not the manifest's head")
    if (first.get(FORMAT_KEY), first.get(RUN_KEY)) != (manifest.format, manifest.run):
        notes.diverges(Link.MANIFEST, "the log's first event names another format or run than the manifest")
    written = first.get(RULES_KEY, RULES_WITHOUT_METRICS)
    if FIRST_RULES_OF_FORMAT_1 <= manifest.rules <= RULES and manifest.rules != written:
        what = f"{MANIFEST} claims rules {manifest.rules}, the log was written for rules {written!r:.20}"
        notes.diverges(Link.MANIFEST, what)
    if not _scenario_matches(folder, manifest, first):
        notes.diverges(Link.FILES, "the copy of the scenario is not the scenario of the log")


def _check_first_format(folder: Path, content: bytes, events: Sequence[Event], notes: Notes) -> None:
    """Hold files and log against a manifest without a format, which names log and scorecard alone.

    A bundle that claims to be older than it is, to escape what came later, says so in its own log.
    """
    listed = parse_object(content, MANIFEST).get("files")
    listed = {name: str(digest) for name, digest in listed.items()} if isinstance(listed, dict) else {}
    found = notes.guarded(Link.FILES, lambda: hash_files(folder)) or {}
    for name in (EVENTS, SCORECARD):
        if name not in listed:
            notes.diverges(Link.MANIFEST, f"{MANIFEST} does not list {name}")
    for what in compare(listed, {name: found[name] for name in found if name in listed}):
        notes.diverges(Link.FILES, what)
    later = sorted(name for name in (*SEALS - {MANIFEST}, SOURCES) if (folder / name).exists())
    if later:
        notes.diverges(Link.MANIFEST, f"{MANIFEST} has no format, but {', '.join(later)} came with one")
    if events and FORMAT_KEY in events[0].payload:
        notes.diverges(Link.MANIFEST, f"{MANIFEST} has no format, but the log was written for one")
    uncovered = sorted(set(found) - set(listed))
    if uncovered:
        notes.remarks.append(f"a manifest without a format does not cover: {', '.join(uncovered)}")


def _scenario_matches(folder: Path, manifest: Manifest, first: Mapping[str, Any]) -> bool:
    for name in manifest.sources.get("scenario", ()):
        file = folder / name
        if name in manifest.files and file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            return bool(redact_values({"scenario": text})["scenario"] == first.get("scenario"))
    return False


def _check_score(events: Sequence[Event], scorecard: Mapping[str, Any], rules: int, notes: Notes) -> bool:
    """Score the log again; return whether that was possible."""
    if rules > RULES:
        notes.diverges(Link.SCORE, f"{MANIFEST} claims rules {rules}, and this version knows {RULES}")
        return False
    measured = "business" in scorecard or any(event.kind == Kind.MEASURED for event in events)
    if rules == FIRST_RULES and not measured:
        notes.remarks.append("the score is not computed again: it is of a time before business metrics")
        return False
    try:
        again = score_again(events, rules)
    except ScoredOtherwise as error:
        notes.remarks.append(error.what)
        return False
    except MoneypathError as error:
        notes.diverges(Link.SCORE, error.what)
        return False
    for what in differences(scorecard, again):
        notes.diverges(Link.SCORE, f"{SCORECARD}: {what}")
    return True


def _check_anchor(
    folder: Path, run: str, manifest: bytes, events: Sequence[Event], references: References, notes: Notes
) -> bool:
    """Return whether the anchor file, if one is given, holds this bundle and no other of its run."""
    if references.anchor_file is None:
        return False
    if not run:
        notes.diverges(Link.ANCHOR, "a bundle without a format is in no anchor file")
        return False
    lines = anchors.read_anchors(references.anchor_file)
    signature = folder / SIGNATURE
    found = tuple(
        anchors.divergences(
            lines,
            run,
            events,
            manifest=sha256(manifest),
            signature=sha256(signature.read_bytes()) if signature.is_file() else None,
        )
    )
    for what in found:
        notes.diverges(Link.ANCHOR, what)
    return not found


def _check_pager(events: Sequence[Event], references: References, notes: Notes) -> int:
    """Return up to which event the pager's record vouches for the log; 0 without one."""
    if references.pager_file is None:
        return 0
    record = read_pager_record(references.pager_file)
    found = tuple(record.divergences(events))
    for what in found:
        notes.diverges(Link.PAGER, what)
    return 0 if found else record.anchored_seq(events)
