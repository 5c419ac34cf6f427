"""What the owner of the database changes is found, also if the whole chain is computed anew, and named."""

from typing import TYPE_CHECKING, Final

import pytest

from refpay.seals import sealing

from .books import Book

if TYPE_CHECKING:
    from refpay.seals.sealing import ChainWatch

# Of six that are sealed three at a time, the one in the middle of the first seal.
_CHANGED: Final = {
    "audit": {
        "actor": "UPDATE audit.event SET actor = 'nobody' WHERE id = '{1}'",
        "action": "UPDATE audit.event SET action = 'payment.seen' WHERE id = '{1}'",
        "before": "UPDATE audit.event SET before = '{{\"status\": \"failed\"}}' WHERE id = '{1}'",
        "after": "UPDATE audit.event SET after = after || '{{\"amount\": 1}}' WHERE id = '{1}'",
        "no after": "ALTER TABLE audit.event ALTER COLUMN after DROP NOT NULL;"
        " UPDATE audit.event SET after = NULL WHERE id = '{1}'",
        "instant": "UPDATE audit.event SET at = at + '1 us'::interval WHERE id = '{1}'",
        "no instant": "ALTER TABLE audit.event ALTER COLUMN at DROP NOT NULL;"
        " UPDATE audit.event SET at = NULL WHERE id = '{1}'",
        "subject": "UPDATE audit.event SET subject_id = 'p-other' WHERE id = '{1}'",
        "kind of subject": "UPDATE audit.event SET subject_kind = 'queue' WHERE id = '{1}'",
        "request": "UPDATE audit.event SET correlation_id = 'c' WHERE id = '{1}'",
        "order": "ALTER TABLE audit.event ALTER COLUMN seq DROP IDENTITY;"
        " UPDATE audit.event SET seq = 900 WHERE id = '{1}'",
    },
    "ledger": {
        "amount": "UPDATE ledger.entry SET amounts_minor = '{{7,-7}}' WHERE id = '{1}'",
        "account": "UPDATE ledger.entry SET accounts[2] = 'suspense:thief' WHERE id = '{1}'",
        "kind": "UPDATE ledger.entry SET kind = 'reversal' WHERE id = '{1}'",
        "operation": "UPDATE ledger.entry SET operation_id = gen_random_uuid() WHERE id = '{1}'",
    },
}
_ADDED: Final = {
    "audit": (
        "INSERT INTO audit.event OVERRIDING SYSTEM VALUE SELECT uuidv7(), 77, at, actor, action,"
        " subject_kind, subject_id, before, after, correlation_id, written_in"
        " FROM audit.event WHERE id = '{1}'"
    ),
    "ledger": (
        "INSERT INTO ledger.entry SELECT ledger.first_id(posted_at), kind, gen_random_uuid(), payment_id,"
        " posted_at, written_in, accounts, currencies, amounts_minor FROM ledger.entry WHERE id = '{1}'"
    ),
}
# Two change their places: each has what the other one had.
_SWAPPED: Final = {
    "audit": (
        "UPDATE audit.event AS one SET actor = other.actor, subject_id = other.subject_id,"
        " after = other.after, before = other.before FROM audit.event AS other"
        " WHERE one.id IN ('{1}', '{4}') AND other.id IN ('{1}', '{4}') AND one.id <> other.id"
    ),
    "ledger": (
        "UPDATE ledger.entry AS one SET amounts_minor = other.amounts_minor FROM ledger.entry AS other"
        " WHERE one.id IN ('{1}', '{4}') AND other.id IN ('{1}', '{4}') AND one.id <> other.id"
    ),
}
_ANEW: Final = pytest.mark.parametrize("anew", [False, True], ids=["as it was", "computed anew"])


async def found_by(watch: "ChainWatch", rounds: int = 2) -> bool:
    """Return whether the running check finds something within so many rounds."""
    return any([(await watch.run_once()).findings for _ in range(rounds)])


@_ANEW
@pytest.mark.parametrize(
    ("book", "what"),
    [(chain, what) for chain, all_of_it in _CHANGED.items() for what in all_of_it],
    indirect=["book"],
)
async def test_a_change_by_the_owner_is_found_and_named(book: Book, what: str, *, anew: bool) -> None:
    """Each column of a record, and of an entry; the next round says so, and `verify` says which one."""
    watch = await book.sealed()
    await book.as_owner(_CHANGED[book.chain.name][what].format(*book.written))
    if anew:
        await book.compute_anew()
        # In the database itself everything agrees, so whoever looks there alone sees nothing.
        assert {kind for kind, _ in await book.named(kept=False)} <= {"posted_differs"}
    assert await found_by(watch)
    named = await book.named()
    assert ("entry_differs", book.written[1]) in named
    assert ("seal_unexpected" in {kind for kind, _ in named}) is anew, named


@_ANEW
async def test_the_newest_that_are_deleted_are_named(book: Book, *, anew: bool) -> None:
    """With their seals, and all the way to an empty table."""
    watch = await book.sealed()
    gone = book.written[3:]
    listed = ", ".join(f"'{one}'" for one in gone)
    await book.as_owner(f"DELETE FROM {book.table} WHERE id IN ({listed})")  # noqa: S608 - ids of ours
    if anew:
        await book.compute_anew()
    assert await found_by(watch)
    assert {subject for kind, subject in await book.named() if kind == "entry_missing"} == set(gone)


async def test_a_table_that_is_emptied_is_found(book: Book) -> None:
    """Truncated with its seals: the heads outside are the only ones that know better."""
    watch = await book.sealed()
    tables = f"{book.table}, {book.chain.seals}" + (", ledger.posted" if book.chain.name == "ledger" else "")
    await book.as_owner(f"TRUNCATE {tables} CASCADE")
    assert await found_by(watch, rounds=1)
    assert await found_by(book.watch(), rounds=1)
    named = await book.named()
    assert {subject for kind, subject in named if kind == "entry_missing"} == set(book.written)


@_ANEW
async def test_what_is_inserted_is_named(book: Book, *, anew: bool) -> None:
    """At a place among the others."""
    watch = await book.sealed()
    await book.as_owner(_ADDED[book.chain.name].format(*book.written))
    if anew:
        await book.compute_anew()
    assert await found_by(watch)
    rows = await book.db.rows(f"SELECT id FROM {book.table}")  # noqa: S608 - a name of ours
    [added] = {str(row["id"]) for row in rows} - set(book.written)
    assert ("entry_added", added) in await book.named()


@_ANEW
async def test_two_that_are_swapped_are_both_named(book: Book, *, anew: bool) -> None:
    """Each has the content of the other, so all sums are as they were."""
    watch = await book.sealed()
    await book.as_owner(_SWAPPED[book.chain.name].format(*book.written))
    if anew:
        await book.compute_anew()
    assert await found_by(watch)
    differing = {subject for kind, subject in await book.named() if kind == "entry_differs"}
    assert differing == {book.written[1], book.written[4]}


@pytest.mark.parametrize("sizes", [(6,), (1,) * 6, (2, 4), (5, 1)])
async def test_other_seals_over_the_same_hide_nothing(book: Book, sizes: tuple[int, ...]) -> None:
    """Who computes the chain anew may cut it elsewhere; what was kept still says which entry it was."""
    watch = await book.sealed()
    await book.as_owner(next(iter(_CHANGED[book.chain.name].values())).format(*book.written))
    await book.compute_anew(sizes)
    assert await found_by(watch, rounds=1)
    assert [one for one in await book.named() if one[0].startswith("entry")] == [
        ("entry_differs", book.written[1])
    ]


async def test_a_chain_made_anew_without_a_change_is_found_and_names_no_entry(book: Book) -> None:
    """Somebody was there, and nothing of what was recorded is different."""
    watch = await book.sealed()
    await book.compute_anew((2,) * 3)
    assert await found_by(watch, rounds=1)
    assert {kind for kind, _ in await book.named()} == {"seal_unexpected"}


async def test_what_was_written_last_is_held_to_its_seal_in_a_long_chain(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head follows every seal at once, and does not wait until the walk has come round again."""
    monkeypatch.setattr(sealing, "_WATCHED_ENTRIES", 3)
    watch = await book.sealed(9)
    await watch.run_once()
    await watch.run_once()
    await book.write(3)
    await book.seal()
    # The walk has begun at the root again, and is nowhere near.
    assert (await watch.run_once()).findings == 0
    await book.as_owner(f"DELETE FROM {book.chain.seals} WHERE seq = 4")  # noqa: S608 - a name of ours
    assert (await watch.run_once()).findings


async def test_what_changes_before_it_is_sealed_is_not_seen(book: Book) -> None:
    """The limit of it: for the second until the next seal nothing stands for a record but the database."""
    watch = await book.sealed()
    await book.write()
    await book.as_owner(
        next(iter(_CHANGED[book.chain.name].values())).replace("{1}", "{6}").format(*book.written)
    )
    await book.seal()
    assert not await found_by(watch)
    assert await book.named() <= {("posted_differs", book.written[6])}


async def test_the_owner_cannot_write_where_the_heads_are(book: Book) -> None:
    """Neither a superuser nor one who may write files or run programs on the server."""
    rows = await book.db.rows(
        "SELECT rolsuper OR rolreplication OR rolcreaterole"
        " OR pg_has_role('refpay_owner', 'pg_write_server_files', 'MEMBER')"
        " OR pg_has_role('refpay_owner', 'pg_execute_server_program', 'MEMBER') AS could"
        " FROM pg_roles WHERE rolname = 'refpay_owner'"
    )
    assert [row["could"] for row in rows] == [False]
