"""The durability probe: what was acknowledged is in the ledger, whole; what is not there is not forgotten."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import pytest_asyncio

import refpay
from moneypath.telemetry import Catalogue, setup
from moneypath.telemetry.catalogue.vocabulary import AtRiskReason
from refpay.background_jobs import BackgroundJob
from refpay.clock import SystemClock
from refpay.db.errors import DatabaseUnavailable
from refpay.db.pool import Database
from refpay.errors import StartRefused
from refpay.ids import mint_id
from refpay.ledger import receipt_log as journals
from refpay.ledger.entries import Entry, Movement, capture_entry
from refpay.ledger.receipt_log import Receipt, ReceiptLog, ReceiptReader, open_receipt_log
from refpay.measures import WORKER_METRICS
from refpay.money import Currency, Money
from refpay.operations import durability
from refpay.operations.checks_repository import Reason
from refpay.operations.durability import DurabilityProbe, make_database_opener
from refpay.worker.gauges import show_probe
from refpay.worker.main import open_worker

if TYPE_CHECKING:
    from tests.refpay.conftest import Client, RefpayDb

    from refpay.settings import Settings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CLOCK = SystemClock()


def made_entry(amount: int = 1000) -> Entry:
    """Return the posting of a capture that no database has."""
    money = Money(amount, Currency.EUR)
    return capture_entry(Movement(mint_id(NOW), mint_id(NOW), "north", "shop", money), NOW)


def note(folder: Path, *entries: Entry) -> None:
    """Write acknowledgements down as a service does."""
    receipt_log = ReceiptLog(folder, service="refpay-api", clock=CLOCK)
    for entry in entries:
        receipt_log.note(entry)
    receipt_log.close()


def make_probe(settings: "Settings") -> DurabilityProbe:
    """Return a probe of a test's database and acknowledgements."""
    reader = ReceiptReader(settings.acknowledgements_folder)
    return DurabilityProbe(reader, make_database_opener(settings.database), clock=CLOCK, seed=1)


async def noted(settings: "Settings", count: int) -> None:
    """Wait until the service has written so many acknowledgements down."""
    async with asyncio.timeout(30):
        while len(ReceiptReader(settings.acknowledgements_folder).read(100)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_was_acknowledged_is_read_back(api: "Client", live_settings: "Settings") -> None:
    """Captures and refunds of real payments are found, in every currency, and again in later samples."""
    for currency in ("EUR", "JPY", "KWD"):
        payment = await api.captured(currency=currency)
        refund = await api.post(f"/v1/payments/{payment['id']}/refunds", {"amount_minor": 400})
        assert refund.status == 201
    await noted(live_settings, 6)
    probe = make_probe(live_settings)
    for _ in range(3):
        result = await probe.run_once()
        assert (result.found, result.missing) == (6, 0)


async def test_what_the_worker_settled_is_read_back_too(
    api: "Client", live_settings: "Settings", acquirers: Any, run_worker_until: Any, db: "RefpayDb"
) -> None:
    """The API never heard how the capture ended; who settled it acknowledges it."""
    authorized = (await api.authorize()).body
    await acquirers[authorized["provider"]].inject(kind="drop", scope={"operations": ["capture"]})
    assert (await api.post(f"/v1/payments/{authorized['id']}/capture", {})).status == 202
    await acquirers[authorized["provider"]].heal()
    await run_worker_until(db)
    written = live_settings.acknowledgements_folder.glob("*.jsonl")
    assert [file.name[37:] for file in written] == ["refpay-worker.jsonl"]
    result = await make_probe(live_settings).run_once()
    assert (result.found, result.missing) == (1, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger.entry",
        "DELETE FROM ledger.posted",
        "UPDATE ledger.entry SET accounts = '{}', currencies = '{}', amounts_minor = '{}'",
        "UPDATE ledger.entry SET amounts_minor = amounts_minor[:1]",
        "UPDATE ledger.entry SET amounts_minor = ARRAY[amounts_minor[1] * 2, amounts_minor[2] * 2]",
        "UPDATE ledger.entry SET currencies = '{USD,USD}'",
        "UPDATE ledger.entry SET accounts[1] = 'provider_receivable:elsewhere'",
        "UPDATE ledger.entry SET kind = 'reversal'",
        "UPDATE ledger.entry SET operation_id = gen_random_uuid()",
        "UPDATE ledger.entry SET accounts[3] = 'fee:more', currencies[3] = 'EUR', amounts_minor[3] = 1",
    ],
)
@pytest.mark.parametrize("seen_before", [False, True])
async def test_what_is_lost_or_changed_is_missing(
    api: "Client", live_settings: "Settings", db: "RefpayDb", statement: str, seen_before: bool
) -> None:
    """Whether it was read back before or not, and also where the entry still balances."""
    await api.captured()
    await noted(live_settings, 1)
    probe = make_probe(live_settings)
    if seen_before:
        assert (await probe.run_once()).missing == 0
    await db.tamper(statement)
    result = await probe.run_once()
    assert (result.found, result.missing) == (0, 1)


async def test_what_is_missing_stays_missing_until_it_is_there(
    api: "Client", live_settings: "Settings", db: "RefpayDb", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later rounds do not look away, though no sample holds it, and the repair shows."""
    monkeypatch.setattr(durability, "SAMPLE", 0)
    for _ in range(2):
        await api.captured()
    await noted(live_settings, 2)
    await db.tamper(
        "CREATE TABLE public.kept AS SELECT * FROM ledger.entry",
        "DELETE FROM ledger.entry WHERE id = ("
        "SELECT min(id::text)::uuid FROM ledger.entry WHERE kind = 'posting')",
    )
    probe = make_probe(live_settings)
    for found in (1, 0, 0, 0):
        result = await probe.run_once()
        assert (result.found, result.missing) == (found, 1)
    await db.tamper("INSERT INTO ledger.entry SELECT * FROM public.kept ON CONFLICT DO NOTHING")
    assert (await probe.run_once()).missing == 0


async def test_a_commit_that_the_database_forgot_is_missing(settings: "Settings") -> None:
    """A promoted replica without its last commits has neither operation nor entry nor stored answer."""
    note(settings.acknowledgements_folder, made_entry())
    result = await make_probe(settings).run_once()
    assert (result.found, result.missing) == (0, 1)


async def test_a_restarted_probe_reads_everything_again(api: "Client", live_settings: "Settings") -> None:
    """What was lost before a restart is found after it."""
    await api.captured()
    await noted(live_settings, 1)
    note(live_settings.acknowledgements_folder, made_entry())
    for _ in range(2):
        result = await make_probe(live_settings).run_once()
        assert (result.found, result.missing) == (1, 1)


async def test_a_round_that_fails_loses_nothing(settings: "Settings") -> None:
    """Without a database nothing was learnt, and what was to be read back is read back afterwards."""
    note(settings.acknowledgements_folder, made_entry())
    away = True

    @asynccontextmanager
    async def opened() -> AsyncIterator[Database]:
        if away:
            raise DatabaseUnavailable("away")
        async with make_database_opener(settings.database)() as database:
            yield database

    reader = ReceiptReader(settings.acknowledgements_folder)
    probe = DurabilityProbe(reader, opened, clock=CLOCK, seed=1)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await probe.run_once()
    away = False
    assert (await probe.run_once()).missing == 1


async def test_a_closed_database_is_a_failed_round_even_with_nothing_to_ask(settings: "Settings") -> None:
    """A round that could not look is no success."""
    closed = replace(settings.database, url="postgresql://refpay_app@127.0.0.1:1/refpay")
    reader = ReceiptReader(settings.acknowledgements_folder)
    probe = DurabilityProbe(reader, make_database_opener(closed), clock=CLOCK, seed=1)
    with pytest.raises(DatabaseUnavailable):
        await probe.run_once()


async def test_every_round_looks_over_a_new_connection(settings: "Settings", db: "RefpayDb") -> None:
    """None is kept open that may lead to a server that nobody else uses any more."""
    probe = make_probe(settings)
    await probe.run_once()
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND application_name = 'refpay'"
    async with asyncio.timeout(30):
        while await db.rows(query, db.name, role="postgres"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_rounds_are_bounded(settings: "Settings", monkeypatch: pytest.MonkeyPatch) -> None:
    """A pile of acknowledgements is read in batches, and what is missing beyond the bound waits its turn."""
    monkeypatch.setattr(durability, "NEW_MAXIMUM", 3)
    monkeypatch.setattr(durability, "MISSING_MAXIMUM", 8)
    note(settings.acknowledgements_folder, *(made_entry() for _ in range(10)))
    probe = make_probe(settings)
    assert [(await probe.run_once()).missing for _ in range(5)] == [3, 6, 8, 8, 8]


def test_samples_are_drawn_from_all_that_was_ever_read(
    settings: "Settings", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory is bounded, the same for the same seed, and holds old and new alike."""
    monkeypatch.setattr(durability, "REMEMBERED_MAXIMUM", 50)
    drawn = []
    for _ in range(2):
        probe = make_probe(settings)
        for number in range(1000):
            probe._remember(Receipt(UUID(int=number), "posting", ""))
        numbers = sorted(one.operation_id.int for one in probe._sample())
        assert len(numbers) == 50
        assert numbers[0] < 200
        assert numbers[-1] > 800
        drawn.append(numbers)
    assert drawn[0] == drawn[1]


def test_each_acknowledgement_is_read_once_and_a_torn_one_when_it_is_whole(tmp_path: Path) -> None:
    """A kill in the middle of a line leaves half of it; a foreign line is counted and left out."""
    entries = [made_entry(amount) for amount in (1, 2, 3)]
    lines = [Receipt.of(entry).to_json() + b"\n" for entry in entries]
    file = tmp_path / "1-refpay-api.jsonl"
    file.write_bytes(lines[0] + b'["not-an-id","posting",""]\n[1,2,3]\n{}\n' + lines[1][:20])
    reader = ReceiptReader(tmp_path)
    assert reader.read(10) == [Receipt.of(entries[0])]
    assert (reader.read(10), reader.malformed) == ([], 3)
    with file.open("ab") as stream:
        stream.write(lines[1][20:] + lines[2])
    assert reader.read(1) == [Receipt.of(entries[1])]
    assert reader.read(10) == [Receipt.of(entries[2])]


@pytest.mark.parametrize("listed", [False, True], ids=["folder gone", "file unreadable"])
def test_what_cannot_be_read_is_no_empty_journal(tmp_path: Path, listed: bool) -> None:
    """A read that fails says so and loses nothing: not even what it had read of other files by then."""
    folder, away = tmp_path / "folder", tmp_path / "away"
    folder.mkdir()
    entries = [made_entry(1), made_entry(2)]
    note(folder, entries[0])
    reader = ReceiptReader(folder)
    assert len(reader.read(10)) == 1
    note(folder, entries[1])
    if listed:
        (folder / "z.jsonl").mkdir()
    else:
        folder.rename(away)
    for _ in range(2):
        with pytest.raises(OSError, match="Is a directory" if listed else "No such file"):
            reader.read(10)
    if listed:
        (folder / "z.jsonl").rmdir()
    else:
        away.rename(folder)
    assert reader.read(10) == [Receipt.of(entries[1])]


def test_a_journal_is_bounded_and_drops_its_oldest_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its own service only; a reader that was there before goes on with what is left."""
    monkeypatch.setattr(journals, "_SEGMENT_BYTES", 1)
    monkeypatch.setattr(journals, "_SEGMENTS_KEPT", 3)
    (tmp_path / "0-refpay-worker.jsonl").write_bytes(b"")
    reader = ReceiptReader(tmp_path)
    receipt_log = ReceiptLog(tmp_path, service="refpay-api", clock=CLOCK)
    amounts = []
    for amount in range(1, 8):
        receipt_log.note(made_entry(amount))
        receipt_log.flush()
        if amount in (2, 7):
            amounts += [int(one.lines.rsplit(" ", 1)[1]) for one in reader.read(10)]
    receipt_log.close()
    assert amounts == [1, 2, 5, 6, 7]
    assert len(list(tmp_path.iterdir())) == 4


def test_what_a_disk_does_not_take_is_written_later(tmp_path: Path) -> None:
    """Nothing is lost, and nothing is written twice, while the folder is gone for a moment."""
    folder = tmp_path / "folder"
    receipt_log = ReceiptLog(folder, service="refpay-api", clock=CLOCK)
    entries = [made_entry(1), made_entry(2)]
    for entry in entries:
        receipt_log.note(entry)
        with pytest.raises(OSError, match="No such file"):
            receipt_log.flush()
    folder.mkdir()
    for _ in range(2):
        receipt_log.flush()
    receipt_log.close()
    assert ReceiptReader(folder).read(10) == [Receipt.of(entry) for entry in entries]


def test_a_segment_that_cannot_be_removed_keeps_nothing_from_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before is closed by then, and its number may be that of another file or of a connection."""
    monkeypatch.setattr(journals, "_SEGMENT_BYTES", 1)
    monkeypatch.setattr(journals, "_SEGMENTS_KEPT", 1)
    receipt_log, reader = ReceiptLog(tmp_path, service="refpay-api", clock=CLOCK), ReceiptReader(tmp_path)
    entries, others = [made_entry(1), made_entry(2)], tmp_path / "others"

    def refuse(_file: Path, **_options: object) -> None:
        # It gets the number that was closed.
        os.open(others, os.O_RDWR | os.O_CREAT)
        raise PermissionError

    for entry in entries:
        receipt_log.note(entry)
        with monkeypatch.context() as patched, suppress(PermissionError):
            patched.setattr(Path, "unlink", refuse)
            receipt_log.flush()
    receipt_log.flush()
    receipt_log.close()
    assert others.read_bytes() == b""
    assert reader.read(10) == [Receipt.of(entry) for entry in entries]


def test_unwritten_acknowledgements_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that stays full does not fill the memory too."""
    monkeypatch.setattr(journals, "_PENDING_MAXIMUM", 2)
    note(tmp_path, *(made_entry(amount) for amount in (1, 2, 3)))
    assert len(ReceiptReader(tmp_path).read(10)) == 2


async def test_an_open_journal_writes_by_itself_and_at_its_end(tmp_path: Path) -> None:
    """Within moments while it is open, and the rest when it is closed."""
    reader = ReceiptReader(tmp_path)
    async with open_receipt_log(tmp_path, service="refpay-api", clock=CLOCK) as receipt_log:
        receipt_log.note(made_entry())
        async with asyncio.timeout(30):
            while not reader.read(10):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        receipt_log.note(made_entry())
    assert len(reader.read(10)) == 1


async def test_a_folder_that_cannot_be_written_to_refuses_the_start(tmp_path: Path) -> None:
    """In one sentence that names the setting."""
    gone = tmp_path / "gone"
    with pytest.raises(StartRefused, match=f"REFPAY_ACKNOWLEDGEMENTS_FOLDER cannot be written to: {gone}"):
        async with open_receipt_log(gone, service="refpay-api", clock=CLOCK):
            pass


@pytest_asyncio.fixture(loop_scope="session")
async def worker(live_settings: "Settings", serve: Any) -> AsyncIterator["Client"]:
    """Run a real worker and speak to it."""
    async with open_worker(live_settings) as app, serve(app) as client:
        yield client


async def test_the_worker_shows_what_it_read_back(
    api: "Client", worker: "Client", db: "RefpayDb", live_settings: "Settings"
) -> None:
    """0 missing while all is well, 1 when one is gone, and no label that the catalogue does not know."""
    await api.captured()
    async with asyncio.timeout(60):
        while not await worker.metric("moneypath_ledger_probe_total", result="found"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        text = (await worker.get("/metrics", by=None)).raw.decode()
        assert "\nmoneypath_ledger_missing_writes 0\n" in text
        assert 'moneypath_ledger_probe_total{result="missing"} 0' in text
        assert 'moneypath_telemetry_drops_total{reason="unknown_value"} 0' in text
        await db.tamper("DELETE FROM ledger.entry")
        while not await worker.metric("moneypath_ledger_missing_writes"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert await worker.metric("moneypath_ledger_probe_total", result="missing") >= 1


@pytest.mark.parametrize("declared", [True, False])
async def test_only_a_finished_round_is_stamped(settings: "Settings", declared: bool) -> None:
    """A probe that is stuck or fails goes stale; a check that nobody declared has no series."""
    checks = ("ledger_balance", "ledger_durability") if declared else ("ledger_balance",)
    currencies = tuple(currency.value for currency in Currency)
    catalogue = Catalogue.build(
        {"providers": ("north",), "currencies": currencies, "schemes": ("visa",), "checks": checks}
    )
    recorder = setup(catalogue, service="refpay-worker", metrics=WORKER_METRICS)
    reader = ReceiptReader(settings.acknowledgements_folder)
    stamp = 'moneypath_check_last_success_timestamp_seconds{check="ledger_durability"}'
    closed = replace(settings.database, url="postgresql://refpay_app@127.0.0.1:1/refpay")
    for where in (closed, settings.database):
        probe = DurabilityProbe(reader, make_database_opener(where), clock=CLOCK, seed=1)

        async def look_and_show(probe: DurabilityProbe = probe) -> None:
            show_probe(recorder, await probe.run_once())

        await BackgroundJob("probe", look_and_show, interval_seconds=1, clock=CLOCK).run_once()
        text = recorder.render().decode()
        assert (stamp in text) is (declared and where is settings.database)
        assert ("\nmoneypath_ledger_missing_writes 0\n" in text) is (where is settings.database)
    assert 'moneypath_telemetry_drops_total{reason="unknown_value"} 0' in text


def test_money_is_at_risk_for_the_declared_reasons_in_the_declared_order() -> None:
    """The service's reasons are the vocabulary's, in the same order of precedence."""
    ours, declared = [reason.value for reason in Reason], [reason.value for reason in AtRiskReason]
    assert [reason for reason in declared if reason in ours] == ours
    # Differences with settlement reports are exported by reconciliation.
    assert set(declared) - set(ours) <= {AtRiskReason.RECONCILIATION_BREAK}
    catalogue = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
    assert list(catalogue["moneypath_money_at_risk_minor_units"].labels["reason"]) == declared
