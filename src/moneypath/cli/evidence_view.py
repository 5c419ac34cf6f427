"""What a verification found, for people and for machines."""

from collections.abc import Iterator
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from moneypath.cli.scorecard_view import scorecard_from, show_scorecard
from moneypath.incidents.trusted_signers import utc
from moneypath.incidents.verification import EvidenceVerdict, Verification
from moneypath.telemetry.redaction import redact

MOST_SHOWN: Final = 20
_STYLES: Final = {
    EvidenceVerdict.AUTHENTICATED: "bold green",
    EvidenceVerdict.CONSISTENT: "bold yellow",
    EvidenceVerdict.BROKEN: "bold red",
}


def show_verification(console: Console, found: Verification) -> None:
    """Print the verdict, each broken link with the first one first, and what all of it proves."""
    card = scorecard_from(found.scorecard or {}) if found.scored_again and not found.divergences else None
    if card is not None:
        show_scorecard(console, card)
    console.print(Text(f"The evidence is {found.verdict}.", style=_STYLES[found.verdict]))
    for number, divergence in enumerate(found.divergences[:MOST_SHOWN]):
        lead = "first divergence" if number == 0 else "also"
        console.print(Text(redact(f"- {lead}: {divergence.link}: {divergence.what}"), style="red"))
    if len(found.divergences) > MOST_SHOWN:
        console.print(f"- and {len(found.divergences) - MOST_SHOWN} more")
    recorded = () if card is not None else _recorded(found)
    for line in (*recorded, *(f"Not checked: {text}" for text in found.remarks)):
        console.print(redact(line), markup=False)
    for line in proves(found):
        console.print(f"It proves: {line}", markup=False)
    for line in proves_not(found):
        console.print(f"It does not prove: {line}", markup=False)


def verification_json(found: Verification) -> dict[str, Any]:
    """Return the same as plain values."""
    seals = found.seals
    return {
        "verdict": found.verdict.value,
        "format": found.format,
        "run": found.run,
        "divergences": [{"link": each.link.value, "what": redact(each.what)} for each in found.divergences],
        "not_checked": [redact(text) for text in found.remarks],
        "scored_again": found.scored_again,
        "signed_by": None
        if seals.signer is None
        else {"id": seals.signer.id, "owner": seals.signer.owner, "public_key": seals.signer.public_key},
        "signing_key": None if seals.signature is None else seals.signature.public_key,
        "signed_at_by_signers_claim": None if seals.signature is None else utc(seals.signature.signed_at),
        "timestamped_at": None if seals.timestamped_at is None else utc(seals.timestamped_at),
        "anchored": found.anchored,
        "pager_vouches_up_to_event": found.pager_covers,
        "proves": list(proves(found)),
        "does_not_prove": list(proves_not(found)),
        "recorded_scorecard": found.scorecard,
    }


def proves(found: Verification) -> Iterator[str]:
    """Yield what a sound bundle proves; nothing for a broken one."""
    if found.verdict is EvidenceVerdict.BROKEN:
        return
    score = "the score follows from the log" if found.scored_again else "the score was not computed again"
    yield f"files, hashes and event log agree with one another; {score}."
    seals = found.seals
    if seals.signer is not None and seals.signature is not None:
        claim = f"at {utc(seals.signature.signed_at)}, by the signer's own clock"
        yield f"{seals.signer.id} ({seals.signer.owner}) signed exactly these files, {claim}."
    if seals.timestamped_at is not None:
        what = "the signature" if seals.signature is not None else "the manifest"
        yield f"{what} existed at {utc(seals.timestamped_at)}, by the time-stamping authority."
    if found.anchored:
        yield "the anchor file holds this bundle, and no other of its run."
    if found.pager_covers:
        yield f"the log up to event {found.pager_covers} is the one that the pager was told of at the time."


def proves_not(found: Verification) -> Iterator[str]:
    """Yield what a sound bundle leaves open."""
    if found.verdict is EvidenceVerdict.BROKEN:
        return
    if found.seals.signer is None:
        yield "who made it. Anyone who can write a folder can make all of this at home."
    else:
        yield "that what was recorded is what happened: until it was signed, the runner could change it."
        if found.seals.timestamped_at is None:
            yield "when it was signed: that time is the signer's own claim."
    if not found.anchored:
        yield "that this was the only run: others may have been made and left out."


def _recorded(found: Verification) -> Iterator[str]:
    """Yield what the scorecard says, which is worth as much as the verdict."""
    if found.scorecard is None:
        return
    passed, score = found.scorecard.get("passed"), found.scorecard.get("score")
    result = "PASSED" if passed is True else "FAILED" if passed is False else "unreadable"
    shown = f"{score:.2f}" if isinstance(score, int | float) else "unreadable"
    yield f"Its scorecard says: {result}, score {shown}, drill {str(found.scorecard.get('title'))[:80]}"
