"""What somebody who wants a better drill does to its evidence. Each forgery is named after what it does."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from tests.incidents.sabotage.bundles import ACKNOWLEDGEMENTS, MONO, WALL, Bundle

from moneypath.incidents.events import Actor, Event
from moneypath.incidents.timeline import Kind


def times_divided_by_ten(bundle: Bundle) -> None:
    """Let everything have happened ten times as fast."""

    def faster(event: Event) -> Event:
        return replace(
            event,
            ts_mono=MONO + (event.ts_mono - MONO) / 10,
            ts_wall=WALL + (event.ts_wall - WALL) / 10,
        )

    bundle.events(faster)


def another_acknowledger(bundle: Bundle) -> None:
    """Let somebody else have acknowledged the page to operations."""
    other = Actor("ops", "role_ops_lead", simulated=False)

    def swapped(event: Event) -> Event:
        mine = event.kind == Kind.PAGE_ACKNOWLEDGED and event.actor.role == "ops"
        return replace(event, actor=other) if mine else event

    bundle.events(swapped)


def failed_drill_made_to_pass(bundle: Bundle) -> None:
    """Write the end of the harm that never came; `bundle` is of a drill that failed for it."""
    added = False

    def healed(event: Event) -> Event:
        nonlocal added
        if event.kind == Kind.FAULT_ENDED and not added:
            added = True
            return replace(event, kind=Kind.HARM_ENDED, subject="customers", payload={})
        return event

    bundle.events(healed)


def approval_invented(bundle: Bundle) -> None:
    """Let the second person have approved; `bundle` is of a drill in which nobody did."""

    def approved(event: Event) -> Event:
        if event.kind != Kind.FAULT_ENDED:
            return event
        payload = {"action": "duplicates.refund"}
        actor = Actor("eng", "role_eng", simulated=True)
        return replace(
            event, kind=Kind.APPROVED, payload=payload, actor=actor, ts_mono=MONO + 20, ts_wall=WALL + 20
        )

    bundle.events(approved)


def acknowledgement_log_emptied(bundle: Bundle) -> None:
    """Let the clients have got no answer at all."""
    (bundle.folder / ACKNOWLEDGEMENTS).write_text("")


def runbook_replaced(bundle: Bundle) -> None:
    """Show another runbook than the one that was followed."""
    bundle.text("sources/double-charge.md", lambda text: text + "\nwith a step that nobody took\n")


def alert_rules_replaced(bundle: Bundle) -> None:
    """Show other alert rules than those that were in force."""
    bundle.text("sources/alerts/rules.yml", lambda _: "groups: [{name: better}]\n")


def file_added(bundle: Bundle) -> None:
    """Add a file that the drill did not write."""
    (bundle.folder / "regulator-letter.txt").write_text("all is well")


def file_removed(bundle: Bundle) -> None:
    """Remove the clients' acknowledgement log."""
    (bundle.folder / ACKNOWLEDGEMENTS).unlink()


def file_renamed(bundle: Bundle) -> None:
    """Call the clients' acknowledgement log something else."""
    (bundle.folder / ACKNOWLEDGEMENTS).rename(bundle.folder / "other.jsonl")


FORGERIES: Final[Mapping[str, tuple[Callable[[Bundle], None], dict[str, bool], str]]] = {
    each.__name__: (each, story, named)
    for each, story, named in (
        (times_divided_by_ten, {}, "events.jsonl is not the file that the manifest names: it was altered"),
        (another_acknowledger, {}, "events.jsonl is not the file that the manifest names: it was altered"),
        (
            failed_drill_made_to_pass,
            {"harm_ends": False},
            "events.jsonl is not the file that the manifest names: it was altered",
        ),
        (
            approval_invented,
            {"approved": False},
            "events.jsonl is not the file that the manifest names: it was altered",
        ),
        (
            acknowledgement_log_emptied,
            {},
            "acknowledgements.jsonl is not the file that the manifest names: it was altered",
        ),
        (
            runbook_replaced,
            {},
            "sources/double-charge.md is not the file that the manifest names: it was altered",
        ),
        (
            alert_rules_replaced,
            {},
            "sources/alerts/rules.yml is not the file that the manifest names: it was altered",
        ),
        (file_added, {}, "regulator-letter.txt is not in the manifest: it was added"),
        (file_removed, {}, "acknowledgements.jsonl is missing"),
        (file_renamed, {}, "acknowledgements.jsonl was renamed to other.jsonl"),
    )
}
"""By name: the forgery, the story that it is told about, what `verify` names if nothing is sealed again."""
