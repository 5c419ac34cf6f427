"""For any history, both chains seal everything once; for any lie of the owner, what he changed is named."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refpay.audit.repository import record

from .books import CHAINS, Book, event, open_book

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MakeBook = Callable[[str], AbstractAsyncContextManager[Book]]
SLOW = settings(
    max_examples=settings().max_examples // 12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LIES = {
    "audit": "UPDATE audit.event SET actor = actor || '!' WHERE id = '{}'",
    "ledger": "UPDATE ledger.entry SET accounts[1] = 'suspense:thief' WHERE id = '{}'",
}


@pytest.fixture
def make_book(open_db: Callable[[], Any], secrets_folder: Path) -> MakeBook:
    """Return what opens an empty chain with a database and a folder of its own."""

    @asynccontextmanager
    async def opened(chain: str) -> "AsyncIterator[Book]":
        with TemporaryDirectory() as folder:
            async with open_db() as db, open_book(CHAINS[chain], db, secrets_folder, Path(folder)) as book:
                yield book

    return opened


@SLOW
@given(data=st.data())
async def test_any_lie_about_any_history_is_found_and_named(make_book: MakeBook, data: st.DataObject) -> None:
    """Written, sealed, watched in any order; some are changed or deleted, and all is sealed anew."""
    chain = data.draw(st.sampled_from(sorted(CHAINS)))
    steps = data.draw(st.lists(st.sampled_from(("write", "seal", "watch", "restart")), max_size=8))
    async with make_book(chain) as book:
        watch = book.watch()
        for step in ["write", *steps]:
            match step:
                case "write":
                    await book.write(data.draw(st.integers(1, 4)))
                case "seal":
                    await book.seal(data.draw(st.integers(1, 4)))
                case "restart":
                    watch = book.watch(begin=False)
                case _:
                    assert (await watch.run_once()).findings == 0
        while await book.seal(data.draw(st.integers(1, 5))):
            pass
        for _ in range(3):
            assert (await watch.run_once()).findings == 0
        report = await book.verify()
        assert (report.entries, report.compared, report.findings) == (len(book.written), report.seals, [])
        some = st.lists(st.sampled_from(book.written), unique=True, max_size=3)
        changed, deleted = set(data.draw(some)), set(data.draw(some))
        changed -= deleted
        statements = [LIES[chain].format(one) for one in changed]
        statements += [f"DELETE FROM {book.table} WHERE id = '{one}'" for one in deleted]  # noqa: S608
        await book.as_owner(*statements)
        if data.draw(st.booleans()):
            await book.compute_anew(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=12)))
        named = await book.named()
        assert {subject for kind, subject in named if kind == "entry_differs"} == changed
        assert {subject for kind, subject in named if kind == "entry_missing"} == deleted
        assert not [kind for kind, _ in named if kind == "entry_added"]
        if changed or deleted:
            assert any([(await watch.run_once()).findings for _ in range(3)])


# What a text in PostgreSQL may hold: everything but the null character and halves of pairs.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@SLOW
@given(data=st.data())
async def test_any_text_is_digested_alike_on_both_sides(make_book: MakeBook, data: st.DataObject) -> None:
    """The database seals a record, and Python, which shares no code with it, finds nothing."""
    async with make_book("audit") as book:
        base = event(1)
        values = TEXTS | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none()
        facts = st.dictionaries(TEXTS, values, max_size=4)
        events = [
            type(base)(
                base.at,
                data.draw(TEXTS),
                data.draw(TEXTS),
                base.subject_kind,
                data.draw(TEXTS),
                data.draw(st.none() | facts),
                data.draw(facts),
                data.draw(TEXTS),
            )
            for _ in range(data.draw(st.integers(1, 5)))
        ]
        async with book.database.transaction() as connection:
            await record(connection, *events)
        book.watch()
        assert await book.seal() == len(events)
        assert (await book.verify(kept=False)).findings == []
