"""The commands over both chains, as an operator runs them beside the worker."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from refpay.seals.sealing import seal_log_of

from .books import Book

FIRST = {
    "audit": "UPDATE audit.event SET actor = 'nobody' WHERE id = '{1}'",
    "ledger": "UPDATE ledger.entry SET amounts_minor = '{{7,-7}}' WHERE id = '{1}'",
}


@pytest.fixture
def environment(book: Book, secrets_folder: Path, make_environment: Any) -> dict[str, str]:
    """Return the worker's environment."""
    made: dict[str, str] = make_environment(book.db, secrets_folder)
    return {**made, "REFPAY_ACKNOWLEDGEMENTS_FOLDER": str(book.folder)}


async def run(book: Book, environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run a command; return its exit status and what it said."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"refpay.{book.chain.name}",
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await running.communicate()
    assert running.returncode is not None
    return running.returncode, output.decode()


async def test_verify_says_with_what_it_compared(book: Book, environment: dict[str, str]) -> None:
    """With the seals outside, and without; what it then cannot see is said."""
    await book.sealed()
    status, said = await run(book, environment, "verify", "--json")
    report = json.loads(said)
    assert (status, report["compared"], report["seals"]) == (1 if report["findings"] else 0, 2, 2)
    del environment["REFPAY_ACKNOWLEDGEMENTS_FOLDER"]
    _, said = await run(book, environment, "verify")
    assert "compared with no seal outside the database: a chain that was made anew would not show" in said
    _, said = await run(book, environment, "verify", "--kept", str(book.folder))
    assert "compared with 2 seals outside the database" in said
    assert await run(book, environment, "verify", "--kept", str(book.folder / "gone")) == (
        2,
        f"refpay: The folder of the seals is not a folder: {book.folder / 'gone'}\n",
    )


async def test_verify_names_what_was_changed(book: Book, environment: dict[str, str]) -> None:
    """Although the chain in the database was computed anew; an expected head reveals it too."""
    await book.sealed()
    head = (await book.verify()).head
    await book.as_owner(FIRST[book.chain.name].format(*book.written))
    await book.compute_anew()
    status, said = await run(book, environment, "verify")
    assert status == 1
    assert f"entry_differs {book.written[1]} (seal 1)" in said
    _, said = await run(book, environment, "verify", "--expect", head)
    assert f"seal_unexpected {head}" in said


async def test_accept_keeps_the_old_files_and_wants_a_head(book: Book, environment: dict[str, str]) -> None:
    """One that is in the database: nothing is accepted that nobody has looked at."""
    await book.sealed()
    await book.compute_anew((6,))
    head = (await book.verify()).head
    status, said = await run(book, environment, "accept", "--head", f"9:{'00' * 32}")
    assert (status, said) == (2, f"refpay: This head is not in the database: 9:{'00' * 32}.\n")
    status, said = await run(book, environment, "accept", "--head", head)
    assert status == 0
    assert said.startswith(f"accepted {head}: restart the worker\nuntil now: ")
    log = seal_log_of(book.chain, book.folder)
    assert [seal.head for seal in log.read()] == [head]
    assert (await book.watch().run_once()).findings == 0
    del environment["REFPAY_ACKNOWLEDGEMENTS_FOLDER"]
    status, said = await run(book, environment, "accept", "--head", head)
    assert (status, said.count("accept needs the folder of the seals")) == (2, 1)
