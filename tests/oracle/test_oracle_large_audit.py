"""An audit in parts finds what an audit of all rows at once finds, and leaves no files."""

import gc
import sys
import tempfile
from pathlib import Path

import pytest

from moneypath.oracle import (
    AuditInterrupted,
    AuditReport,
    DiscrepancyKind,
    Outcome,
    audit,
    large_audit,
    part_worker,
)
from moneypath.oracle.spool import PARTS, Spool, Witness, read_part

from .sabotage.registry import SABOTAGES
from .test_oracle_audit import LIES
from .world import AUTHORIZE, CAPTURE, Rows, Step, altered, replace, request_of, whole_world


def report_of(rows: Rows, rows_in_memory: int = 1_000_000) -> AuditReport:
    return audit(
        rows.postings,
        rows.book,
        rows.answers,
        requests=rows.requests,
        reports=rows.reports,
        rows_in_memory=rows_in_memory,
    )


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have every temporary file made in a folder of the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each task of an audit in parts here, where a mutation of it shows and a name has the same hash."""

    def run(folder: Path, *tasks: str) -> None:
        for task in tasks:
            part_worker.main(folder, task)
        gc.enable()

    monkeypatch.setattr(large_audit, "_run", run)


def test_a_whole_world_is_whole_in_parts(temporary_folder: Path) -> None:
    """Counts, totals and balances are those of all rows, and nothing stays behind."""
    at_once, in_parts = report_of(whole_world()), report_of(whole_world(), 10)
    assert in_parts == at_once
    assert in_parts.whole
    assert list(temporary_folder.iterdir()) == []


ACROSS = (
    "one provider key charged twice",
    "one key made two captures",
    "debit leg lost",
    "reference captured in two books",
)


OVER_ALL = (*ACROSS, "pays_out_more_than_is_owed", "keeps_a_part_of_an_exchange")


@pytest.mark.parametrize("name", OVER_ALL)
def test_a_lie_is_found_across_parts(name: str) -> None:
    """Two references that share a key, a ledger that is off as a whole, a payout that others do not cover.

    Of two that share a key, the later one is named; rows of one instant have no order.
    """
    find_in_parts(named(name))


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("name", OVER_ALL)
def test_a_lie_is_found_across_parts_in_one_process(name: str) -> None:
    """The same, task after task."""
    find_in_parts(named(name))


def named(name: str) -> Rows:
    """Return the rows of a lie."""
    lies = {planted.name: planted.rows for planted in LIES}
    return lies[name] if name in lies else SABOTAGES[name][0](whole_world())


def find_in_parts(rows: Rows) -> None:
    """Have a lie found at once and in parts, and the same of it."""
    rows = replace(rows, book=tuple(replace(one, seq=seq) for seq, one in enumerate(rows.book)))
    at_once, in_parts = report_of(rows), report_of(rows, 1)
    found = [
        sorted((one.kind, one.amount_minor or 0) for one in each.discrepancies)
        for each in (at_once, in_parts)
    ]
    assert found[0] == found[1]
    assert (in_parts.rows, in_parts.totals) == (at_once.rows, at_once.totals)
    assert in_parts.discrepancies


@pytest.mark.usefixtures("one_process")
def test_a_key_that_was_asked_for_twice_is_found_across_parts() -> None:
    """Another order asked first, with the same key, and got no answer: only its request shares the name."""
    world = whole_world()
    first = request_of(replace(Step("y", CAPTURE, at=-1.0).answer(), idempotency_key="capture-a"))
    # Two answers of one instant keep their order: the first one was open.
    again = Step("a", CAPTURE).answer(Outcome.UNKNOWN)
    rows = replace(
        world,
        answers=(again, *world.answers),
        requests=(first, *(world.requests or ()), request_of(again)),
    )
    find_in_parts(rows)
    assert (DiscrepancyKind.MOVED_UNASKED, "a") in rows.found()


@pytest.mark.usefixtures("one_process")
def test_an_entry_of_a_report_under_the_id_of_another_is_found_across_parts() -> None:
    """The entry of a report has no reference; where it is looked at, its report is needed too."""
    rows = whole_world()
    lines = altered(
        rows.postings,
        lambda line: (
            replace(line, entry_id="entry-capture-a", posted_at=99.0) if line.entry_id == "fee-1" else line
        ),
    )
    at_once, in_parts = (report_of(replace(rows, postings=lines), limit) for limit in (1_000_000, 1))
    assert set(at_once.discrepancies) == set(in_parts.discrepancies)
    assert DiscrepancyKind.FEE_DIFFERS in {one.kind for one in at_once.discrepancies}


@pytest.mark.usefixtures("one_process")
def test_the_later_of_two_that_share_a_key_is_named() -> None:
    """By the time of its entry, whatever the entry is called and in which part it is."""
    early, late = Step("b", CAPTURE, at=1.0), Step("a", CAPTURE, key="capture-b", at=2.0)
    rows = Step("b", AUTHORIZE).done() + Step("a", AUTHORIZE).done() + early.done()
    lines = altered(late.lines("again"), lambda line: replace(line, provider_key="pk-late"))
    rows += Rows(lines, (replace(late.charge(), key="pk-late", seq=9),))
    for rows_in_memory in (1_000_000, 1):
        found = report_of(rows, rows_in_memory).discrepancies
        twice = [one.subject for one in found if one.kind is DiscrepancyKind.KEY_CHARGED_TWICE]
        assert twice == ["a"]


def test_the_rows_of_a_reference_stay_together_and_in_order() -> None:
    """What is read back is what was taken, as rows of the same type."""
    world = whole_world()
    with Spool(rows_in_memory=7) as spool:
        spool.take(Witness.POSTINGS, world.postings)
        spool.take(Witness.BOOK, world.book)
        assert spool.spilled
        folder = spool.close_files()
        parts = [read_part(folder, part, recorded=False) for part in range(PARTS)]
    read = [line for part in parts for line in part.postings]
    assert sorted(read) == sorted(world.postings)
    assert all(type(line) is type(world.postings[0]) for line in read)
    for part in parts:
        assert part.requests is None
        for reference in {line.merchant_reference for line in part.postings}:
            mine = [line for line in part.postings if line.merchant_reference == reference]
            assert mine == [line for line in world.postings if line.merchant_reference == reference]


def test_rows_are_spilled_beyond_the_limit_and_not_at_it(temporary_folder: Path) -> None:
    """Into a folder that says whose it is, and that is gone afterwards."""
    world = whole_world()
    with Spool(rows_in_memory=len(world.postings)) as spool:
        spool.take(Witness.POSTINGS, world.postings)
        assert not spool.spilled
        assert list(temporary_folder.iterdir()) == []
        with pytest.raises(RuntimeError) as caught:
            spool.close_files()
        assert str(caught.value) == "the rows are in memory"
        spool.take(Witness.BOOK, world.book[:1])
        assert spool.spilled
        (folder,) = temporary_folder.iterdir()
        assert folder.name.startswith("moneypath-audit-")
    assert list(temporary_folder.iterdir()) == []


def test_a_process_that_ends_early_is_said(temporary_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Part of an audit is none."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(AuditInterrupted) as caught:
        report_of(whole_world(), 10)
    assert caught.value.what == "A process of the audit ended with 1."
    assert caught.value.hint == "Read its error above, see whether there is enough memory, and audit again."
    assert list(temporary_folder.iterdir()) == []
