"""Each forgery: named if nothing is sealed again; then only a signature, an anchor or the pager finds it."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.incidents.sabotage.bundles import WALL, Bundle, webhook
from tests.incidents.sabotage.conftest import Trust
from tests.incidents.sabotage.forgeries import FORGERIES, another_acknowledger, times_divided_by_ten

from moneypath.incidents.evidence_files import SCORECARD
from moneypath.incidents.signing import Signer
from moneypath.incidents.verification import EvidenceVerdict, Link
from moneypath.stack.pager.store import PageStore
from moneypath.workflows.evidence_sealing import SealIncomplete, SealPlan, seal_checked

forgery = pytest.mark.parametrize("name", FORGERIES)


def test_honest_bundle_is_consistent_and_no_more(bundle: Bundle) -> None:
    """The twin of all that follows: unsigned evidence is never more than consistent."""
    found = bundle.verify(pager_file=bundle.pager_file)
    assert (found.verdict, found.scored_again) == (EvidenceVerdict.CONSISTENT, True)
    assert found.scorecard is not None
    assert (found.scorecard["passed"], found.scorecard["score"]) == (True, 1.0)


@forgery
def test_forgery_not_sealed_again_is_named(tmp_path: Path, name: str) -> None:
    """An altered, added, missing or renamed file is broken, and the sentence names it."""
    forge, story, named = FORGERIES[name]
    bundle = Bundle(tmp_path, "run-1", story=story)
    forge(bundle)
    found = bundle.verify()
    assert found.verdict is EvidenceVerdict.BROKEN
    assert named in [divergence.what for divergence in found.divergences]


@forgery
def test_forgery_sealed_again_is_not_called_more_than_consistent(tmp_path: Path, name: str) -> None:
    """Without a signature or an anchor nobody can know, and `verify` claims no more."""
    forge, story, _ = FORGERIES[name]
    bundle = Bundle(tmp_path, "run-1", story=story)
    forge(bundle)
    bundle.seal_again()
    assert bundle.verify().verdict is EvidenceVerdict.CONSISTENT
    assert bundle.verify().seals.signer is None


@forgery
def test_forgery_sealed_again_breaks_the_signature(
    tmp_path: Path, name: str, signer: Signer, trust: Trust
) -> None:
    """Who has no key can make the manifest anew, and not its signature."""
    forge, story, _ = FORGERIES[name]
    bundle = Bundle(tmp_path, "run-1", SealPlan(signer), story=story)
    assert bundle.verify(signers=trust()).verdict is EvidenceVerdict.AUTHENTICATED
    forge(bundle)
    bundle.seal_again()
    (divergence,) = bundle.verify(signers=trust()).divergences
    assert (divergence.link, divergence.what) == (Link.SIGNATURE, "the signature is of another manifest")


@forgery
def test_forgery_sealed_again_is_not_what_was_anchored(tmp_path: Path, name: str) -> None:
    """The anchor file holds the manifest that the drill wrote."""
    forge, story, _ = FORGERIES[name]
    anchor = tmp_path / "anchors.jsonl"
    bundle = Bundle(tmp_path, "run-1", SealPlan(anchor_file=anchor), story=story)
    assert bundle.verify(anchor_file=anchor).anchored
    forge(bundle)
    bundle.seal_again()
    found = bundle.verify(anchor_file=anchor)
    assert found.verdict is EvidenceVerdict.BROKEN
    assert {divergence.link for divergence in found.divergences} == {Link.ANCHOR}


def test_times_divided_by_ten_are_not_those_of_the_pager(bundle: Bundle) -> None:
    """The pager wrote down when it was told of what."""
    times_divided_by_ten(bundle)
    bundle.seal_again()
    (_, other) = bundle.verify(pager_file=bundle.pager_file).divergences
    assert other.what == "event 12: the pager was told of another log up to event 11"


def test_another_acknowledger_is_not_the_one_of_the_pager(bundle: Bundle) -> None:
    """The pager knows whose token it saw."""
    another_acknowledger(bundle)
    bundle.seal_again()
    first, _ = bundle.verify(pager_file=bundle.pager_file).divergences
    assert first.what == "event 10: page 2 was acknowledged by role_ops, not by role_ops_lead"


def test_page_left_out_of_the_log_is_known_to_the_pager(tmp_path: Path) -> None:
    """A page that nobody expected vanishes from the log, and not from the pager."""
    bundle = Bundle(tmp_path, "run-1", story={"page_unlogged": True})
    (divergence,) = bundle.verify(pager_file=bundle.pager_file).divergences
    assert divergence.what == "page 2 to compliance was delivered, and the log leaves it out"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"role": "ops"', '"role": "eng"', "event 9: the pager delivered no such page 2 to ops"),
        ('"name": "MoneyPathDoubleCharge"', '"name": "Other"', "event 9: the pager delivered no such page 2"),
        ('"at": 1795345216.4', '"at": 1795345276.4', "event 9: page 2 came 60.0 s later than the log says"),
        ('"at": 1795345216.4', '"at": 1795345156.4', "event 9: page 2 came 60.0 s earlier than the log says"),
    ],
)
def test_page_that_the_pager_delivered_otherwise(bundle: Bundle, before: str, after: str, words: str) -> None:
    """To whom, of what and when a page went, the pager knows."""
    lines = bundle.pager_file.read_text().splitlines()
    assert before in lines[1]
    lines[1] = lines[1].replace(before, after)
    bundle.pager_file.write_text("\n".join(lines) + "\n")
    first = bundle.verify(pager_file=bundle.pager_file).divergences[0]
    assert (first.link, first.what.startswith(words)) == (Link.PAGER, True), first


def test_acknowledgement_that_the_pager_never_got(bundle: Bundle) -> None:
    """Nobody can acknowledge past the pager."""
    lines = bundle.pager_file.read_text().splitlines()
    bundle.pager_file.write_text("\n".join(line for line in lines if "acknowledgement" not in line) + "\n")
    whats = [each.what for each in bundle.verify(pager_file=bundle.pager_file).divergences]
    assert whats == ["event 10: nobody acknowledged page 2", "event 12: nobody acknowledged page 1"]


def pass_without_a_score(bundle: Bundle) -> None:
    """Call a drill passed in a scorecard as they were before business metrics; the log stays as it is."""
    card = {name: value for name, value in bundle.scorecard.items() if name != "business"}
    passed = card | {"passed": True, "score": 1.0, "failures": []}
    (bundle.folder / SCORECARD).write_text(json.dumps(passed))
    bundle.list_again()


def test_score_of_a_drill_that_measured_nothing_is_computed_again(tmp_path: Path) -> None:
    """It ended before its first measurement, and its format is newer than business metrics."""
    bundle = Bundle(tmp_path, "run-1", story={"steady": False})
    assert bundle.verify().scored_again
    pass_without_a_score(bundle)
    found = bundle.verify(pager_file=bundle.pager_file)
    assert {divergence.link for divergence in found.divergences} == {Link.SCORE}
    assert "scorecard.json: passed is True, the events give False" in [one.what for one in found.divergences]


def test_drill_that_never_began_is_not_signed_as_passed(tmp_path: Path, signer: Signer) -> None:
    """Whoever keeps the key verifies first: a signature would vouch for a score that nobody computed."""
    bundle = Bundle(tmp_path, "run-1", story={"steady": False})
    pass_without_a_score(bundle)
    with pytest.raises(SealIncomplete, match="nothing was sealed: score"):
        asyncio.run(seal_checked(bundle.folder, SealPlan(signer)))


def test_last_page_that_the_log_leaves_out(tmp_path: Path) -> None:
    """It came after the last acknowledgement, to a role that should have slept; the pager kept it."""
    bundle = Bundle(tmp_path, "run-1", story={"last_page_unlogged": True})
    (divergence,) = bundle.verify(pager_file=bundle.pager_file).divergences
    assert divergence.what == "page 3 to compliance was delivered, and the log leaves it out"


@pytest.mark.parametrize("at", [71.5, 90.0])
def test_page_after_the_drill_watched_is_nothing_that_its_log_leaves_out(tmp_path: Path, at: float) -> None:
    """The twin: another drill's page, or one that came while the ledger was audited."""
    bundle = Bundle(tmp_path, "run-1")
    pager = PageStore(bundle.pager_file)
    pager.add_page("compliance", webhook(), WALL + at)
    pager.close()
    assert bundle.verify(pager_file=bundle.pager_file).divergences == ()
