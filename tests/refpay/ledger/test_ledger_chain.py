"""The chain of seals covers every entry, and every kind of tampering is found and named."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from refpay.clock import SystemClock
from refpay.ids import mint_id
from refpay.ledger.repository import post
from refpay.ledger.sealing import LEDGER, LedgerSealer
from refpay.seals import sealing
from refpay.seals.accepting import accept_chain
from refpay.seals.chain import GENESIS
from refpay.seals.sealing import ChainWatch, places_of, seal_log_of

from .ledgers import Ledger, at, capture

EXAMPLES = settings().max_examples // 12
SLOW = settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
# Between two seals of three entries each, in the middle of which each tampering lies.
VICTIM: Final = "(SELECT id FROM ledger.entry ORDER BY written_in, id OFFSET 1 LIMIT 1)"
LAST: Final = "(SELECT id FROM ledger.entry ORDER BY written_in DESC, id DESC LIMIT 1)"


def open_watch(ledger: Ledger, folder: Path) -> ChainWatch:
    """Watch as the worker does; what it keeps was begun before the first seal."""
    log = seal_log_of(LEDGER, folder)
    if not log.file.exists():
        log.begin()
    return ChainWatch(ledger.database, LEDGER, clock=SystemClock(), folder=folder)


async def sealed(ledger: Ledger) -> list[str]:
    """Post six entries, seal them three at a time, and return their ids in order."""
    entries = [capture(100 + n, n) for n in range(6)]
    for entry in entries:
        await ledger.post(entry)
    assert [await ledger.seal(3) for _ in range(3)] == [3, 3, 0]
    return [str(entry.id) for entry in entries]


async def test_what_is_as_it_was_sealed_has_no_findings(ledger: Ledger) -> None:
    """The positive twin of every tampering, with unsealed entries beside it."""
    assert (await ledger.verify()).head == f"0:{GENESIS.hex()}"
    await sealed(ledger)
    await ledger.post(capture(5, 30))
    report = await ledger.verify()
    assert (report.seals, report.entries, report.unsealed, report.findings) == (2, 6, 1, [])
    assert (await ledger.verify(expected=report.head)).findings == []
    assert await ledger.seal() == 1
    assert (await ledger.verify(expected=report.head)).findings == []


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE ledger.entry SET amounts_minor = '{7,-7}' WHERE id = {victim}", "entry_differs"),
        ("UPDATE ledger.entry SET accounts[2] = 'suspense:thief' WHERE id = {victim}", "entry_differs"),
        ("UPDATE ledger.entry SET currencies = '{USD,USD}' WHERE id = {victim}", "entry_differs"),
        ("UPDATE ledger.entry SET kind = 'reversal' WHERE id = {victim}", "entry_differs"),
        ("UPDATE ledger.entry SET operation_id = gen_random_uuid() WHERE id = {victim}", "entry_differs"),
        ("UPDATE ledger.entry SET payment_id = NULL, kind = 'fee' WHERE id = {victim}", "entry_differs"),
        ("UPDATE ledger.entry SET posted_at = posted_at + '1 us'::interval WHERE id = {victim}",
         "entry_differs"),
        ("UPDATE ledger.entry SET accounts = '{}', currencies = '{}', amounts_minor = '{}'"
         " WHERE id = {victim}", "entry_differs"),
        ("UPDATE ledger.entry SET accounts[1] = NULL WHERE id = {victim}", "entry_differs"),
        ("DELETE FROM ledger.entry WHERE id = {victim}", "entry_missing"),
        ("UPDATE ledger.entry SET written_in = '99999999' WHERE id = {victim}", "entry_missing"),
    ],
)  # fmt: skip
async def test_a_tampered_entry_is_named(ledger: Ledger, statement: str, kind: str) -> None:
    """Any column of one entry, or all of it: the first defect is of that entry and its seal."""
    ids = await sealed(ledger)
    await ledger.db.tamper(statement.replace("{victim}", VICTIM))
    finding = (await ledger.verify()).findings[0]
    assert (finding.kind, finding.subject, finding.seq) == (kind, ids[1], 1)


async def test_an_added_entry_is_named(ledger: Ledger) -> None:
    """An entry that is inserted at a plausible place with the triggers off is named."""
    await sealed(ledger)
    added = capture(1, 3)
    await ledger.db.tamper(
        "INSERT INTO ledger.entry SELECT '" + str(added.id) + "', kind, gen_random_uuid(), payment_id,"
        f" '{added.posted_at.isoformat()}', written_in, accounts, currencies, amounts_minor"
        f" FROM ledger.entry WHERE id = {VICTIM}"
    )
    assert (await ledger.found())[0] == ("entry_added", str(added.id))


@pytest.mark.parametrize(
    ("statement", "kind", "subject"),
    [
        ("DELETE FROM ledger.seal WHERE seq = 1", "seal_missing", "1"),
        ("UPDATE ledger.seal SET leaves = set_byte(leaves, 20, 255 - get_byte(leaves, 20)) WHERE seq = 1",
         "seal_differs", "1"),
        ("UPDATE ledger.seal SET digest = sha256(digest) WHERE seq = 1", "seal_differs", "1"),
        ("UPDATE ledger.seal SET through_id = (SELECT min(id::text)::uuid FROM ledger.entry) WHERE seq = 2",
         "seal_differs", "2"),
        ("UPDATE ledger.seal SET through_in = '99999999' WHERE seq = 1", "entry_added", None),
        ("UPDATE ledger.balance SET balance_minor = balance_minor + 1 WHERE account LIKE 'merchant%'",
         "balance_differs", "merchant_payable:shop EUR"),
        ("INSERT INTO ledger.balance VALUES ('fee:x', 'EUR', 9, 1)", "balance_differs", "fee:x EUR"),
        ("DELETE FROM ledger.posted WHERE entry_id = " + LAST, "posted_differs", None),
        ("INSERT INTO ledger.posted VALUES (gen_random_uuid(), gen_random_uuid())", "posted_differs", None),
    ],
)  # fmt: skip
async def test_tampering_beside_the_entries_is_named(
    ledger: Ledger, statement: str, kind: str, subject: str | None
) -> None:
    """Tampering with seals, balances and posted operations is named."""
    await sealed(ledger)
    await ledger.db.tamper(statement)
    found = await ledger.found()
    assert found[0][0] == kind
    assert subject in (None, found[0][1])


async def test_a_chain_that_was_made_anew_differs_from_what_was_kept(ledger: Ledger) -> None:
    """A head that was kept elsewhere reveals entries, seals and balances that were all rewritten."""
    await sealed(ledger)
    head = (await ledger.verify()).head
    await ledger.db.tamper(
        f"UPDATE ledger.entry SET amounts_minor = '{{7,-7}}' WHERE id = {VICTIM}",
        "DELETE FROM ledger.balance; DELETE FROM ledger.seal",
        *("SELECT ledger.seal_entries('2026-01-01', 3)",) * 2,
    )
    assert await ledger.found() == []
    assert [one.kind for one in (await ledger.verify(expected=head)).findings] == ["seal_unexpected"]


async def test_a_chain_that_was_cut_differs_from_what_was_kept(ledger: Ledger) -> None:
    """A head that was kept elsewhere reveals that the last seal and its entries were deleted."""
    ids = await sealed(ledger)
    head = (await ledger.verify()).head
    gone = ", ".join(f"'{one}'" for one in ids[3:])
    await ledger.db.tamper(
        f"DELETE FROM ledger.entry WHERE id IN ({gone})",
        f"DELETE FROM ledger.posted WHERE entry_id IN ({gone})",
        "DELETE FROM ledger.balance; DELETE FROM ledger.seal",
        "SELECT ledger.seal_entries('2026-01-01', 3)",
    )
    assert await ledger.found() == []
    assert [one.kind for one in (await ledger.verify(expected=head)).findings] == ["seal_unexpected"]


async def test_a_late_commit_is_sealed_and_nothing_behind_it_is_first(ledger: Ledger) -> None:
    """Nothing is sealed after a transaction that began first until that one commits."""
    early, late = capture(1, 0), capture(2, 0)
    slow = await ledger.db.connect()
    try:
        transaction = slow.transaction()
        await transaction.start()
        await post(slow, early)  # type: ignore[arg-type]
        await ledger.post(late)
        assert await ledger.seal() == 0
        await transaction.commit()
    finally:
        await slow.close()
    assert await ledger.seal() == 2
    report = await ledger.verify()
    assert (report.entries, report.unsealed, report.findings) == (2, 0, [])


async def test_two_sealers_do_not_seal_twice(ledger: Ledger, tmp_path: Path) -> None:
    """Two sealers at the same instant, repeatedly."""
    sealers = [LedgerSealer(ledger.database, clock=SystemClock(), folder=tmp_path) for _ in range(3)]
    for n in range(5):
        await ledger.post(*(capture(1 + n, m) for m in range(4)))
        await asyncio.gather(*(sealer.run_once() for sealer in sealers))
    report = await ledger.verify()
    assert (report.entries, report.findings) == (20, [])


async def test_a_cluster_whose_transactions_begin_anew_is_refused(ledger: Ledger) -> None:
    """In a dump that was restored elsewhere, new entries would lie before the last seal."""
    await sealed(ledger)
    await ledger.db.tamper("UPDATE ledger.seal SET through_in = '999999999999' WHERE seq = 2")
    await ledger.post(capture())
    with pytest.raises(
        asyncpg.ObjectNotInPrerequisiteStateError, match="transactions are numbered behind seal 2"
    ):
        await ledger.seal()


@SLOW
@given(data=st.data())
async def test_any_history_is_sealed_whole(
    make_ledger: Callable[[], AbstractAsyncContextManager[Ledger]], data: st.DataObject
) -> None:
    """For any order of posting, rollback and sealing, every entry is sealed once and the balances agree."""
    steps = data.draw(st.lists(st.sampled_from(("post", "roll back", "seal")), min_size=1, max_size=12))
    posted = 0
    async with make_ledger() as ledger:
        for step in steps:
            amounts = data.draw(st.lists(st.integers(1, 2**63 - 1), min_size=1, max_size=5))
            entries = [capture(amount, data.draw(st.integers(-90, 90))) for amount in amounts]
            if step == "seal":
                await ledger.seal(data.draw(st.integers(1, 4)))
                continue
            if step == "roll back":
                with pytest.raises(asyncpg.UniqueViolationError):
                    await ledger.post(*entries, entries[0])
                continue
            await ledger.post(*entries)
            posted += len(entries)
        report = await ledger.verify()
        assert (report.entries + report.unsealed, report.findings) == (posted, [])
        while await ledger.seal(3):
            pass
        report = await ledger.verify()
        assert (report.entries, report.unsealed, report.findings) == (posted, 0, [])
        if posted:
            await ledger.db.tamper("UPDATE ledger.entry SET kind = 'fee' WHERE id = " + LAST)
            assert (await ledger.found())[0][0] == "entry_differs"


async def test_the_watch_finds_tampering_and_sees_it_mended(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One id range a round: complete at the end, and a defect counts until it is verified again."""
    monkeypatch.setattr(sealing, "_WATCHED_ENTRIES", 3)
    await sealed(ledger)
    watch = open_watch(ledger, tmp_path)
    rounds = [await watch.run_once() for _ in range(3)]
    assert [(one.findings, one.complete) for one in rounds] == [(0, False), (0, False), (0, True)]
    await ledger.db.tamper(
        "CREATE TABLE public.kept AS SELECT * FROM ledger.entry",
        f"UPDATE ledger.entry SET amounts_minor = '{{7,-7}}' WHERE id = {VICTIM}",
    )
    assert [(await watch.run_once()).findings for _ in range(3)] == [1, 1, 1]
    await ledger.db.tamper("DELETE FROM ledger.entry", "INSERT INTO ledger.entry SELECT * FROM public.kept")
    assert [(await watch.run_once()).findings for _ in range(3)] == [0, 0, 0]
    await ledger.post(capture(5, 9))
    await ledger.seal()
    assert [(await watch.run_once()).findings for _ in range(4)] == [0, 0, 0, 0]


async def test_a_watch_goes_on_where_the_one_before_it_ended(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart does not begin at the root again, and then goes round the whole ledger as before."""
    monkeypatch.setattr(sealing, "_WATCHED_ENTRIES", 3)

    async def rounds(count: int) -> list[tuple[int, bool]]:
        watch = open_watch(ledger, tmp_path)
        found = [await watch.run_once() for _ in range(count)]
        return [(one.findings, one.complete) for one in found]

    await sealed(ledger)
    # Of a pass that was cut off nothing is said.
    assert await rounds(2) == [(0, False), (0, False)]
    assert await rounds(3) == [(0, False), (0, False), (0, True)]
    # At the end of a pass, and in the middle of one.
    for count in (2, 1):
        assert await rounds(count) == [(0, True)] * count
    await ledger.db.tamper(f"UPDATE ledger.entry SET amounts_minor = '{{7,-7}}' WHERE id = {VICTIM}")
    assert await rounds(4) == [(0, True), (1, True), (1, True), (1, True)]
    # What was found is not forgotten: the next one says nothing before it has looked by itself.
    assert await rounds(3) == [(1, False), (1, False), (1, True)]


@pytest.mark.parametrize("content", [b"", b"2 7", b"\xff", b"x" * 90, None])
async def test_a_watch_that_cannot_read_where_it_was_begins_anew(
    ledger: Ledger, tmp_path: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is cut off, malformed or a folder: the watch logs it and starts at the root."""
    monkeypatch.setattr(sealing, "_WATCHED_ENTRIES", 6)
    await sealed(ledger)
    kept = places_of(LEDGER, tmp_path)
    kept.mkdir() if content is None else kept.write_bytes(content)
    with capture_logs() as logs:
        watch = open_watch(ledger, tmp_path)
        assert [(await watch.run_once()).complete for _ in range(2)] == [False, True]
    said = [log["event"] for log in logs]
    # A folder cannot be written over either, at no round.
    unkept = ["chain_place_not_kept"] * (2 if content is None else 0)
    assert said == ["chain_place_not_read", *unkept]


async def test_a_chain_that_was_made_anew_while_nobody_watched_breaks(ledger: Ledger, tmp_path: Path) -> None:
    """The remembered seal lies outside the database, so the next seal does not follow from it."""
    await sealed(ledger)
    for _ in range(2):
        assert (await open_watch(ledger, tmp_path).run_once()).findings == 0
    await ledger.db.tamper(
        f"UPDATE ledger.entry SET amounts_minor = '{{7,-7}}' WHERE id = {VICTIM}",
        "DELETE FROM ledger.balance",
        "DELETE FROM ledger.seal",
    )
    assert await ledger.seal() == 6
    for minutes in (9, 10):
        await ledger.post(capture(1, minutes))
        assert await ledger.seal() == 1
    watch = open_watch(ledger, tmp_path)
    for _ in range(3):
        assert (await watch.run_once()).findings


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_chain_that_was_cut_while_nobody_watched_breaks(
    ledger: Ledger, tmp_path: Path, restarts: bool
) -> None:
    """A chain that was cut, or an older backup, is found until somebody accepts it, restarts or not."""
    await sealed(ledger)
    watch = open_watch(ledger, tmp_path)
    assert (await watch.run_once()).findings == 0
    await ledger.db.tamper("DELETE FROM ledger.seal WHERE seq = (SELECT max(seq) FROM ledger.seal)")
    for number in range(3):
        if restarts or not number:
            watch = open_watch(ledger, tmp_path)
        assert (await watch.run_once()).findings
    head = (await ledger.verify()).head
    connection = await ledger.db.connect()
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await accept_chain(connection, LEDGER, tmp_path, head=head, now=at(0))
    finally:
        await connection.close()
    watch = open_watch(ledger, tmp_path)
    assert (await watch.run_once()).findings == 0


@pytest.mark.parametrize("place", [(2**63, 1), (2**63 - 1, 1), (10**30, 1), (-5, 1), (1, 2**64), (1, -1)])
async def test_a_place_that_no_chain_has_does_not_stop_the_watch(
    ledger: Ledger, tmp_path: Path, place: tuple[int, int]
) -> None:
    """A position that the database would refuse to look up is not looked up."""
    await sealed(ledger)
    kept = places_of(LEDGER, tmp_path)
    line = f"{place[0]} {place[1]} {UUID(int=1)} {'00' * 32}\n"
    kept.write_text(line * 2)
    watch = open_watch(ledger, tmp_path)
    assert [(await watch.run_once()).findings for _ in range(2)] == [0, 0]


async def test_the_head_of_the_chain_is_told_outside_the_database(ledger: Ledger, tmp_path: Path) -> None:
    """The head is logged after growth, at most once a minute, in the form of `verify --expect`."""

    class Clock(SystemClock):
        time = at(0)

        def now(self) -> Any:
            return self.time

    clock = Clock()
    sealer = LedgerSealer(ledger.database, clock=clock, folder=tmp_path)
    with capture_logs() as logs:
        await sealer.run_once()
        for minutes in (0, 0.5, 2, 4):
            await ledger.post(capture(1, minutes))
            clock.time = at(minutes)
            await sealer.run_once()
        clock.time = at(9)
        await sealer.run_once()
    heads = [one["head"] for one in logs if one["event"] == "chain_sealed"]
    assert [head.partition(":")[0] for head in heads] == ["1", "3", "4"]
    for head in heads:
        assert (await ledger.verify(expected=head)).findings == []
    assert (await ledger.verify(expected=heads[0].replace("1:", "2:"))).findings != []


async def test_the_sealer_makes_the_coming_months(ledger: Ledger, tmp_path: Path) -> None:
    """Once an hour of its own clock, beside sealing."""

    class Clock(SystemClock):
        time = at(0)

        def now(self) -> Any:
            return self.time

    clock = Clock()
    sealer = LedgerSealer(ledger.database, clock=clock, folder=tmp_path)
    assert await sealer.run_once() == 0
    await ledger.post(capture(1, 0), capture(1, 120))
    assert await ledger.partitions() == {"entry_2024_03": 1, "entry_2024_04": 1}
    assert await sealer.run_once() == 2
    clock.time = at(0) + timedelta(days=130)
    await sealer.run_once()
    late = capture(1, 130 * 24 * 60)
    assert late.id >= mint_id(clock.time - timedelta(days=1))
    await ledger.post(late)
    assert "entry_2024_08" in await ledger.partitions()
