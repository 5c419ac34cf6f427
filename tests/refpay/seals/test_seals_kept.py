"""What is kept of a chain outside the database: begun once, extended, lost, damaged, replaced, accepted."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from refpay.clock import SystemClock
from refpay.seals import sealing
from refpay.seals.accepting import ChainNotAccepted
from refpay.seals.seal_log import SealLog
from refpay.seals.sealing import Sealer, places_of, seal_log_of

from .books import CHAINS, Book


def files(book: Book) -> tuple[Path, Path]:
    """Return the log of seals, and the file of the head."""
    return seal_log_of(book.chain, book.folder).file, places_of(book.chain, book.folder)


async def rounds(book: Book, count: int = 1) -> list[int]:
    """Return what a worker that starts now finds in its first rounds."""
    watch = book.watch(begin=False)
    return [(await watch.run_once()).findings for _ in range(count)]


async def test_what_is_sealed_is_kept_by_the_next_round(book: Book) -> None:
    """Each seal once, in files that nobody else reads, and `verify` compares all of them."""
    await book.sealed()
    log, _ = files(book)
    assert [seal.seq for seal in seal_log_of(book.chain, book.folder).read()] == [1, 2]
    assert log.stat().st_mode & 0o777 == 0o600
    before = log.read_bytes()
    await book.write(2)
    await book.seal()
    assert await rounds(book, 2) == [0, 0]
    assert log.read_bytes().startswith(before)
    report = await book.verify()
    assert (report.seals, report.compared, report.entries, report.findings) == (3, 3, 8, [])
    assert (await book.verify(kept=False)).compared == 0


@pytest.mark.parametrize("lost", [0, 1])
async def test_each_file_makes_up_for_the_loss_of_the_other(book: Book, lost: int) -> None:
    """A restarted worker finds nothing, writes both again, and still finds what the owner does."""
    await book.sealed()
    kept = files(book)[0].read_bytes()
    files(book)[lost].unlink()
    assert await rounds(book, 2) == [0, 0]
    assert files(book)[0].read_bytes() == kept
    assert files(book)[1].is_file()
    files(book)[lost].unlink()
    await book.compute_anew((6,))
    assert await rounds(book) != [0]


@pytest.mark.parametrize("running", [True, False])
async def test_a_loss_of_both_is_found(book: Book, *, running: bool) -> None:
    """A running worker remembers the head and writes both again; of a new one the chain is not believed."""
    watch = await book.sealed()
    for file in files(book):
        file.unlink()
    if running:
        with capture_logs() as logs:
            assert [(await watch.run_once()).findings for _ in range(2)] == [0, 0]
        assert [log["event"] for log in logs] == ["chain_log_lost"]
        assert await rounds(book, 2) == [0, 0]
        return
    with capture_logs() as logs:
        assert await rounds(book, 3) == [1, 1, 1]
    assert [(log["event"], log["kind"]) for log in logs] == [("chain_broken", "head_unknown")]
    assert await book.named() == {("head_unknown", str(files(book)[0]))}
    # What is then known: a head that was logged. It proves that the chain is the one of before.
    head = (await book.verify(kept=False)).head
    assert (await book.verify(kept=False, expected=head)).findings == []
    assert await book.accept(head) == []
    assert await rounds(book, 2) == [0, 0]


async def test_a_sealer_does_not_begin_a_log_that_was_lost(book: Book) -> None:
    """It would hide the loss: the log is begun before the first seal and at no other time."""
    sealer = Sealer(book.database, book.chain, clock=SystemClock(), folder=book.folder)
    await book.write()
    assert await sealer.run_once() == 1
    log, _ = files(book)
    assert log.is_file()
    log.unlink()
    await book.write()
    assert await sealer.run_once() == 1
    assert not log.exists()
    assert await rounds(book) == [1]


@pytest.mark.parametrize("damage", [b"x", b"7 7 7 7\n", b"\xff\xfe\n", b"2 1 AAAA 00\n", b"9" * 600_000])
async def test_what_a_death_leaves_is_written_over_and_damage_is_found(book: Book, damage: bytes) -> None:
    """Half a line is no defect; a whole one that is no seal is."""
    await book.sealed()
    log, _ = files(book)
    with log.open("ab") as stream:
        stream.write(damage)
    torn = damage == b"x"
    assert await rounds(book) == ([0] if torn else [1])
    assert bool((await book.verify()).findings) is not torn
    await book.write()
    await book.seal()
    assert await rounds(book, 2) == ([0, 0] if torn else [1, 1])
    if torn:
        assert (await book.verify()).compared == 3


async def test_a_change_in_the_middle_of_the_log_is_found_by_verify(book: Book) -> None:
    """The running check reads the end of it; `verify` reads all."""
    await book.sealed()
    log, _ = files(book)
    content = log.read_bytes()
    at = content.index(b" ", content.index(b" ") + 1) + 20
    log.write_bytes(content[:at] + (b"A" if content[at : at + 1] != b"A" else b"B") + content[at + 1 :])
    assert await rounds(book, 2) == [0, 0]
    assert await book.named() == {("file_differs", str(log))}


async def test_a_log_of_another_chain_is_found(book: Book) -> None:
    """Somebody put another file there: its head is not in the database."""
    await book.sealed()
    log, place = files(book)
    kept = log.read_bytes()
    await book.as_owner(
        *(["DELETE FROM ledger.balance"] if book.chain.name == "ledger" else []),
        f"DELETE FROM {book.chain.seals}",  # noqa: S608 - a name of ours
    )
    log.unlink()
    place.unlink()
    await book.seal(4)
    await book.seal(4)
    watch = book.watch()
    assert [(await watch.run_once()).findings for _ in range(2)] == [0, 0]
    log.write_bytes(kept)
    assert (await watch.run_once()).findings == 1
    assert await rounds(book, 2) == [1, 1]


@pytest.mark.parametrize("lines", [0, 1])
async def test_a_log_that_was_cut_is_completed_and_hides_nothing(book: Book, lines: int) -> None:
    """The head beside it stands in the database, so what is missing is what was there."""
    await book.sealed()
    log, _ = files(book)
    whole = log.read_bytes()
    log.write_bytes(b"".join(whole.splitlines(keepends=True)[:lines]))
    assert await rounds(book, 2) == [0, 0]
    assert log.read_bytes() == whole


async def test_a_database_that_was_restored_is_found_until_somebody_accepts_it(book: Book) -> None:
    """An older backup lacks the head. What was believed until then is kept as evidence."""
    await book.sealed()
    later = ", ".join(f"'{one}'" for one in book.written[3:])
    await book.as_owner(
        "DELETE FROM ledger.balance",
        f"DELETE FROM {book.chain.seals}",  # noqa: S608 - a name of ours
        f"DELETE FROM {book.table} WHERE id IN ({later})",  # noqa: S608 - ids of ours
        f"DELETE FROM ledger.posted WHERE entry_id IN ({later})",  # noqa: S608 - ids of ours
        book.chain.seal.replace("$1", "'2026-11-24'").replace("$2", "3"),
    )
    assert await rounds(book, 2) == [1, 1]
    # Nothing that is sealed after it is kept, or it would look as if it followed.
    kept = files(book)[0].read_bytes()
    await book.write()
    await book.seal()
    assert await rounds(book, 2) == [1, 1]
    assert files(book)[0].read_bytes() == kept
    head = (await book.verify()).head
    with pytest.raises(ChainNotAccepted, match="This head is not in the database"):
        await book.accept(f"2:{'00' * 32}")
    assert await rounds(book) == [1]
    moved = await book.accept(head)
    assert {file.name for file in moved} == {f"{file.name}.until-20261124T000000Z" for file in files(book)}
    assert moved[0].read_bytes() == kept
    assert await rounds(book, 2) == [0, 0]
    assert (await book.verify()).findings == []


async def test_a_broken_chain_is_not_accepted(book: Book) -> None:
    """And then everything is as it was."""
    await book.sealed()
    head = (await book.verify()).head
    before = [file.read_bytes() for file in files(book)]
    await book.as_owner(f"UPDATE {book.chain.seals} SET digest = sha256(digest) WHERE seq = 1")  # noqa: S608
    with pytest.raises(ChainNotAccepted, match="broken at seal 1"):
        await book.accept(head)
    assert [file.read_bytes() for file in files(book)] == before


async def test_two_workers_keep_each_seal_once(book: Book) -> None:
    """At the same time, again and again, in files that both of them write."""
    watches = [book.watch() for _ in range(3)]
    for _ in range(5):
        await book.write(2)
        await book.seal()
        await asyncio.gather(*(watch.run_once() for watch in watches))
    for watch in watches:
        assert (await watch.run_once()).findings == 0
    assert [seal.seq for seal in seal_log_of(book.chain, book.folder).read()] == [1, 2, 3, 4, 5]
    assert (await book.verify()).findings == []


async def test_while_seals_cannot_be_kept_the_check_does_not_succeed(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: nothing is found, and the silence of the check pages when it has lasted."""
    watch = await book.sealed()
    await book.write()
    await book.seal()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(SealLog, "extend", full)
        result = await watch.run_once()
    assert (result.findings, result.complete) == (0, False)
    assert "chain_seals_not_kept" in [log["event"] for log in logs]
    result = await watch.run_once()
    assert (result.findings, result.complete) == (0, True)
    assert (await book.verify()).compared == 3


async def test_a_long_chain_of_before_is_kept_in_parts(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that had seals, and a head, before there was a log: no page, and then all of it."""
    monkeypatch.setattr(sealing, "_KEPT_ENTRIES", 3)
    await book.sealed(12)
    files(book)[0].unlink()
    watch = book.watch(begin=False)
    for kept in range(1, 5):
        assert (await watch.run_once()).findings == 0
        assert len(list(seal_log_of(book.chain, book.folder).read())) == kept
    assert (await book.verify()).compared == 4


async def test_a_cluster_whose_transactions_begin_anew_is_refused(book: Book) -> None:
    """In a dump that was restored elsewhere, what is new would lie before the last seal."""
    await book.sealed()
    await book.as_owner(f"UPDATE {book.chain.seals} SET through_in = '999999999999' WHERE seq = 2")  # noqa: S608
    await book.write()
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="transactions are numbered behind"):
        await book.seal()


def test_the_chains_do_not_share_a_file(tmp_path: Path) -> None:
    """Both lie in one folder."""
    named = [file(chain, tmp_path) for chain in CHAINS.values() for file in (places_of,)]
    named += [seal_log_of(chain, tmp_path).file for chain in CHAINS.values()]
    assert len(set(named)) == 4
