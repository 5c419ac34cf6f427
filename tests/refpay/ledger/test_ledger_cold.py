"""Cold storage: a month leaves whole and proven, can be read and verified there, and comes back."""

import asyncio
import gzip
import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from refpay.ledger import command
from refpay.ledger.cold_storage import read_month
from refpay.ledger.errors import ColdFileDamaged, MonthNotMoved
from refpay.ledger.receipt_log import Receipt
from refpay.ledger.repository import read_missing

from .ledgers import Ledger, at, capture

LATER = at(60 * 24 * 40)
MARCH = "entry_2024_03.jsonl.gz"


async def two_months(ledger: Ledger, *, seal: bool = True) -> list[str]:
    """Post across the end of March, in one seal; return the ids of March."""
    await ledger.make_partitions(at(0))
    entries = [capture(10 + n, n) for n in (0, 59, 61, 30, 62)]
    for entry in entries:
        await ledger.post(entry)
    if seal:
        assert await ledger.seal() == 5
    return [str(entry.id) for entry in entries if entry.posted_at < at(60)]


async def test_a_month_leaves_is_verified_and_comes_back(ledger: Ledger, tmp_path: Path) -> None:
    """Only what is old enough; the chain holds over both; the rows are the same afterwards."""
    march = await two_months(ledger)
    before = await ledger.db.rows("SELECT * FROM ledger.entry ORDER BY id")
    assert await ledger.archive(tmp_path, at(61)) == []
    assert [(one.name, one.entries) for one in await ledger.archive(tmp_path, LATER)] == [
        ("entry_2024_03", 3)
    ]
    assert await ledger.partitions() == {"entry_2024_04": 2}
    assert [str(entry.id) for entry in read_month(tmp_path / MARCH)] == march
    report = await ledger.verify(tmp_path)
    assert (report.entries, report.unseen, report.findings) == (5, 0, [])
    report = await ledger.verify()
    assert (report.entries, report.unseen, report.findings) == (2, 3, [])
    await ledger.restore(tmp_path, "entry_2024_03")
    assert await ledger.db.rows("SELECT * FROM ledger.entry ORDER BY id") == before
    report = await ledger.verify()
    assert (report.entries, report.unseen, report.findings) == (5, 0, [])
    # And again, as if it had never been back.
    assert len(await ledger.archive(tmp_path, LATER)) == 1
    assert (await ledger.verify(tmp_path)).findings == []


async def test_a_month_that_is_away_is_not_made_anew_and_takes_nothing(
    ledger: Ledger, tmp_path: Path
) -> None:
    """Its operations count as posted, no receipt is missing, late entries go to the default partition."""
    await ledger.make_partitions(at(0))
    entry = capture(9, 5)
    await ledger.post(entry)
    await ledger.seal()
    await ledger.archive(tmp_path, LATER)
    again = capture(9, 6)
    with pytest.raises(asyncpg.UniqueViolationError):
        await ledger.post(replace(again, operation_id=entry.operation_id))
    async with ledger.database.transaction() as connection:
        assert await read_missing(connection, [Receipt.of(entry), Receipt.of(again)]) == [Receipt.of(again)]
    await ledger.make_partitions(at(0))
    await ledger.post(again)
    assert await ledger.partitions() == {"entry_default": 1}
    with pytest.raises(asyncpg.CheckViolationError):
        await ledger.restore(tmp_path, "entry_2024_03")
    assert await ledger.partitions() == {"entry_default": 1}


async def test_what_is_not_sealed_stays(ledger: Ledger, tmp_path: Path) -> None:
    """A month with unsealed entries stays: nothing could prove them afterwards."""
    await two_months(ledger, seal=False)
    with pytest.raises(MonthNotMoved, match="3 are not"):
        await ledger.archive(tmp_path, LATER)
    assert len(await ledger.db.rows("SELECT 1 FROM ledger.entry")) == 5


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.entry SET amounts_minor = '{1,-1}' WHERE id = {one}",
        "DELETE FROM ledger.entry WHERE id = {one}",
        "INSERT INTO ledger.entry SELECT (left(id::text, 35) || 'z')::uuid, kind, gen_random_uuid(),"
        " payment_id, posted_at, written_in, accounts, currencies, amounts_minor"
        " FROM ledger.entry WHERE id = {one}",
    ],
)
async def test_what_differs_from_its_seal_stays(ledger: Ledger, tmp_path: Path, statement: str) -> None:
    """A month that was tampered with stays, and verify names the entry."""
    one = f"'{(await two_months(ledger))[1]}'"
    last = "0" if one.endswith("f'") else "f"
    await ledger.db.tamper(statement.replace("{one}", one).replace("'z'", f"'{last}'"))
    with pytest.raises(MonthNotMoved, match="run verify"):
        await ledger.archive(tmp_path, LATER)
    assert "entry_2024_03" in await ledger.partitions()
    assert (await ledger.found()) != []


def _edit(file: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    file.write_bytes(gzip.compress(b"".join(change(lines))))


def _forge(lines: list[bytes]) -> list[bytes]:
    """Change an entry, and the trailer with it."""
    lines[1] = lines[1].replace(b"north", b"south")
    digest = hashlib.sha256(b"".join(lines[1:-1])).hexdigest()
    return [*lines[:-1], json.dumps({"entries": len(lines) - 2, "sha256": digest}).encode()]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [*lines[:1], *lines[2:]],
        lambda lines: lines[:-1],
        lambda lines: [lines[0], lines[1].replace(b"north", b"south"), *lines[2:]],
        lambda lines: [*lines[:2], *lines[1:]],
        lambda lines: [lines[0].replace(b"2024_03", b"2024_02"), *lines[1:]],
        lambda lines: [*lines[:-1], b"{}"],
        lambda lines: lines[:0],
        _forge,
    ],
)
async def test_a_damaged_file_is_found_and_not_restored(
    ledger: Ledger, tmp_path: Path, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    """Entries removed, added or changed, a file cut off, of another month, or forged with a new digest."""
    await two_months(ledger)
    await ledger.archive(tmp_path, LATER)
    _edit(tmp_path / MARCH, change)
    assert [kind for kind, _ in await ledger.found(tmp_path)] == ["file_differs"]
    with pytest.raises(ColdFileDamaged):
        await ledger.restore(tmp_path, "entry_2024_03")
    assert await ledger.partitions() == {"entry_2024_04": 2}


async def test_bytes_that_are_no_gzip_are_damage(ledger: Ledger, tmp_path: Path) -> None:
    """Cut in its middle, flipped, or gone."""
    await two_months(ledger)
    await ledger.archive(tmp_path, LATER)
    whole = (tmp_path / MARCH).read_bytes()
    for content in (whole[: len(whole) // 2], whole[:40] + b"\xff\xff\xff" + whole[43:], b""):
        (tmp_path / MARCH).write_bytes(content)
        assert [kind for kind, _ in await ledger.found(tmp_path)] == ["file_differs"]
    (tmp_path / MARCH).unlink()
    assert [kind for kind, _ in await ledger.found(tmp_path)] == ["file_differs"]


async def test_the_commands_say_what_they_did(
    ledger: Ledger,
    tmp_path: Path,
    secrets_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """archive, read, balances, verify and restore by command line; verify exits 1 for a defect."""
    monkeypatch.setenv("REFPAY_DATABASE_URL", ledger.db.url("refpay_app"))
    monkeypatch.setenv("REFPAY_SECRETS_FOLDER", str(secrets_folder))
    march = await two_months(ledger)

    async def run(*arguments: str) -> tuple[int, str]:
        # It has a loop of its own.
        status = await asyncio.to_thread(command.main, arguments)
        return status, capsys.readouterr().out

    cold = ("--folder", str(tmp_path))
    month = ("--month", "entry_2024_03")
    assert "entry_2024_03: 3 entries" in (await run("archive", *cold, "--keep-months", "1"))[1]
    lines = (await run("read", *cold, *month))[1].splitlines()
    assert [json.loads(line)["id"] for line in lines] == march
    balances = await run(
        "balances", *cold, "--as-of", at(60).isoformat(), "--account", "merchant_payable:shop"
    )
    assert balances == (0, "merchant_payable:shop EUR -119\n")
    status, text = await run("verify", *cold, "--json")
    report = json.loads(text)
    assert (status, report["entries"], report["findings"]) == (0, 5, [])
    assert (await run("verify", "--expect", report["head"]))[0] == 0
    assert "3 entries restored" in (await run("restore", *cold, *month))[1]
    await ledger.db.tamper(f"DELETE FROM ledger.entry WHERE id = '{march[0]}'")
    status, text = await run("verify")
    assert status == 1
    assert f"entry_missing {march[0]} (seal 1)" in text


async def test_two_at_once_move_a_month_once(ledger: Ledger, tmp_path: Path) -> None:
    """The second command says so in one sentence, or finds nothing to move; nothing is lost or doubled."""
    await two_months(ledger)
    before = await ledger.db.rows("SELECT * FROM ledger.entry ORDER BY id")
    for _ in range(3):
        left = await asyncio.gather(
            *(ledger.archive(tmp_path, LATER) for _ in range(2)), return_exceptions=True
        )
        assert _moved(left) == 1
        assert await ledger.partitions() == {"entry_2024_04": 2}
        assert (await ledger.verify(tmp_path)).findings == []
        back = await asyncio.gather(
            *(ledger.restore(tmp_path, "entry_2024_03") for _ in range(3)), return_exceptions=True
        )
        assert _moved(back) == 1
        assert await ledger.db.rows("SELECT * FROM ledger.entry ORDER BY id") == before
        assert await ledger.found() == []


def _moved(results: Sequence[object]) -> int:
    """Return how many commands moved something; the others say why not."""
    idle = [one for one in results if isinstance(one, MonthNotMoved) or one == []]
    problems = [one for one in results if isinstance(one, BaseException) and one not in idle]
    assert problems == []
    return len(results) - len(idle)


async def test_a_command_that_finds_another_at_work_says_so(
    ledger: Ledger, tmp_path: Path, secrets_folder: Path
) -> None:
    """Status 2 and one line. Once the other command has ended, the same command succeeds."""
    await two_months(ledger)
    await ledger.archive(tmp_path, LATER)
    environment = {
        **os.environ,
        "REFPAY_DATABASE_URL": ledger.db.url("refpay_app"),
        "REFPAY_SECRETS_FOLDER": str(secrets_folder),
    }

    async def restore() -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "refpay.ledger",
            "restore",
            "--month",
            "entry_2024_03",
            "--folder",
            str(tmp_path),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, error = await process.communicate()
        return process.returncode, error.decode()

    other = await ledger.db.connect("refpay_owner")
    await other.execute("SELECT pg_advisory_lock('ledger.archive'::regclass::bigint)")
    assert await restore() == (2, "refpay: another command is moving months: ask again when it has ended\n")
    await other.close()
    assert await restore() == (0, "")
    assert await restore() == (2, "refpay: not in cold storage: entry_2024_03\n")


async def test_whoever_keeps_more_months_than_there_were_archives_none(
    ledger: Ledger, tmp_path: Path
) -> None:
    """A century of months ends before 1970, the first possible id, and nothing is older."""
    await ledger.make_partitions(at(0))
    await ledger.post(capture())
    await ledger.seal()
    assert await ledger.archive(tmp_path, at(60 * 24 * 40), kept_months=1200) == []
    assert await ledger.partitions() == {"entry_2024_03": 1}
