"""The event log proves what it says, or says where it does not."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.incidents.events import GENESIS, Actor, Event, EventLog, EventLogBroken, read_events, verify


def _log(file: Path, count: int) -> EventLog:
    log = EventLog(file, wall=lambda: 1_000.0, mono=lambda: 50.0)
    for number in range(count):
        log.append("measured", f"subject {number}", {"value": number}, actor=Actor("eng", "ada"))
    log.close()
    return log


def test_a_log_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """What is read back is what was appended, links and seals included."""
    log = _log(tmp_path / "events.jsonl", 3)
    assert read_events(tmp_path / "events.jsonl") == log.events
    assert log.events[0].prev_hash == GENESIS


def test_evidence_is_never_overwritten(tmp_path: Path) -> None:
    """A second log in the same file is refused with a sentence."""
    _log(tmp_path / "events.jsonl", 1)
    with pytest.raises(EventLogBroken, match="exists already"):
        EventLog(tmp_path / "events.jsonl")


@pytest.mark.parametrize("damage", ["edit", "drop", "swap", "cut", "garbage"])
def test_every_kind_of_tampering_is_found(tmp_path: Path, damage: str) -> None:
    """An edited, dropped, swapped, cut or foreign line breaks the log at that line."""
    file = tmp_path / "events.jsonl"
    _log(file, 4)
    lines = file.read_text().splitlines()
    if damage == "edit":
        fields = json.loads(lines[1])
        fields["payload"]["value"] = 999
        lines[1] = json.dumps(fields)
    elif damage == "drop":
        del lines[1]
    elif damage == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    elif damage == "cut":
        lines[1] = lines[1][:40]
    else:
        lines[1] = "[]"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(EventLogBroken, match=r"(event 2|:2:)"):
        read_events(file)


def test_an_event_can_be_dated_back_to_when_it_was_observed(tmp_path: Path) -> None:
    """`at_mono` moves both clocks by the same amount."""
    log = EventLog(tmp_path / "events.jsonl", wall=lambda: 1_000.0, mono=lambda: 50.0)
    event = log.append("measured", "late", at_mono=45.0)
    log.close()
    assert (event.ts_mono, event.ts_wall) == (45.0, 995.0)


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    """Evidence that cannot be written ends the drill; nothing is swallowed."""
    log = EventLog(tmp_path / "events.jsonl")
    log.close()
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        log._out = full
        with pytest.raises(EventLogBroken, match="cannot be written"):
            log.append("measured", "one")
        log.close()


def test_listeners_hear_each_event_after_it_is_written(tmp_path: Path) -> None:
    """A listener finds the line on disk when it is told."""
    file = tmp_path / "events.jsonl"
    log = EventLog(file)
    lines: list[int] = []
    log.listen(lambda _: lines.append(len(file.read_text().splitlines())))
    log.append("measured", "one")
    log.append("measured", "two")
    log.close()
    assert lines == [1, 2]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(
        st.tuples(st.text(max_size=10), st.dictionaries(st.text(max_size=5), _JSON, max_size=3)), max_size=8
    )
)
def test_any_chain_verifies_and_no_shorter_prefix_of_seals_does(
    rows: list[tuple[str, dict[str, object]]],
) -> None:
    """A sealed chain always verifies; changing any subject breaks it."""
    chain: list[Event] = []
    for number, (subject, payload) in enumerate(rows, start=1):
        prev = chain[-1].hash if chain else GENESIS
        chain.append(
            Event(
                number, 0.0, 0.0, "measured", Actor("eng", "ada"), subject, payload, prev_hash=prev
            ).sealed()
        )
    assert verify(chain) == tuple(chain)
    for index, event in enumerate(chain):
        forged = Event(
            event.seq, 0.0, 0.0, event.kind, event.actor, event.subject + "!", event.payload,
            prev_hash=event.prev_hash, hash=event.hash,
        )  # fmt: skip
        with pytest.raises(EventLogBroken):
            verify([*chain[:index], forged, *chain[index + 1 :]])
