"""What the worker shows of reconciliation, and what operators see and can do."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import refpay
from refpay.settings import Settings, read_settings
from refpay.worker.main import open_worker

from .bench import FakeAcquirer, capture

if TYPE_CHECKING:
    from tests.refpay.conftest import Client

    from .bench import Bench

CHECK = "moneypath_check_last_success_timestamp_seconds"
BREAKS = "moneypath_reconciliation_breaks"
AT_RISK = "moneypath_money_at_risk_minor_units"


@pytest.fixture
def worker_settings(fake_environment: dict[str, str], tmp_path: Path) -> Settings:
    """Return the settings of a worker whose catalogue has the check of reconciliation."""
    catalogue = json.loads(Path(refpay.__file__).with_name("catalogue.json").read_text())
    for metric in catalogue["metrics"]:
        checks = metric["labels"].get("check")
        if checks:
            wider = sorted({*checks, "settlement_matched", "single_charge"})
            metric["labels"]["check"] = wider
            metric["series_budget"] = metric["series_budget"] // len(checks) * len(wider)
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps(catalogue))
    return read_settings({**fake_environment, "REFPAY_CATALOGUE_FILE": str(file)})


async def stamped_again(worker: "Client", check: str = "settlement_matched") -> None:
    """Wait until rounds that began from now on have been shown."""
    seen = {await worker.metric(CHECK, check=check)}
    while len(seen) < 4:
        await asyncio.sleep(0.01)
        seen.add(await worker.metric(CHECK, check=check))


async def test_all_is_well_reads_as_zero_and_now(
    bench: "Bench", worker_settings: Settings, serve: Callable[..., Any]
) -> None:
    """Every class of every provider is there and 0; watermark and due are instants; nothing is dropped."""
    op = capture()
    await bench.have(op)
    bench.north.publish(0, [op.row()])
    bench.acquirers["south"].publish(0)
    async with open_worker(worker_settings) as app, serve(app) as worker:
        await stamped_again(worker)
        text = (await worker.get("/metrics", by=None)).raw.decode()
        for provider in ("north", "south"):
            for name in (
                "missing_ours",
                "missing_theirs",
                "amount",
                "currency",
                "fee",
                "duplicate",
                "status",
            ):
                labels = f'provider="{provider}",class="{name}"'
                assert f"{BREAKS}{{{labels}}} 0" in text
                assert f'moneypath_reconciliation_break_minor_units{{{labels},currency="KWD"}} 0' in text
            watermark = "moneypath_reconciliation_watermark_timestamp_seconds"
            assert await worker.metric(watermark, provider=provider) == 1767225610
            due = "moneypath_settlement_due_timestamp_seconds"
            assert await worker.metric(due, provider=provider) == 1767225630
        assert "moneypath_reconciliation_oldest_break_timestamp_seconds{" not in text
        assert 'moneypath_settlement_files_total{provider="north",result="accepted"} 1' in text
        assert 'moneypath_reconciliation_rows_total{provider="north",result="matched"} 1' in text
        assert 'moneypath_telemetry_drops_total{reason="unknown_value"} 0' in text
        assert await worker.metric("moneypath_check_violations", check="settlement_matched") == 0
        assert (await worker.get("/readyz", by=None)).status == 200


async def test_a_stuck_provider_lets_the_check_go_stale_while_all_reads_zero(
    bench: "Bench", worker_settings: Settings, serve: Callable[..., Any]
) -> None:
    """The stamp stands still, though every gauge says 0 and the worker is ready; it moves on afterwards."""
    async with open_worker(worker_settings) as app, serve(app) as worker:
        await stamped_again(worker)
        bench.north.stuck = asyncio.Event()
        # From then on no round ends, and the last one that did is shown.
        await asyncio.wait_for(bench.north.waited_for.wait(), 30)
        await stamped_again(worker, "ledger_balance")
        stamp = await worker.metric(CHECK, check="settlement_matched")
        await stamped_again(worker, "ledger_balance")
        await asyncio.sleep(0.5)
        assert await worker.metric(CHECK, check="settlement_matched") == stamp
        assert await worker.metric(BREAKS, provider="north", **{"class": "amount"}) == 0
        assert (await worker.get("/readyz", by=None)).status == 200
        bench.north.stuck.set()
        bench.north.stuck = None
        async with asyncio.timeout(30):
            while await worker.metric(CHECK, check="settlement_matched") == stamp:  # noqa: ASYNC110 - a scrape
                await asyncio.sleep(0.02)


async def test_money_is_at_risk_under_one_reason_only(
    bench: "Bench", worker_settings: Settings, serve: Callable[..., Any]
) -> None:
    """What is booked twice is a double charge; an unposted capture is that; the rest is a break, and once.

    What we had given up stands in suspense, at risk until the provider has given it back.
    """
    doubled, unposted, gone, amiss, given_up = (
        capture(amount=amount) for amount in (100, 200, 300, 400, 500)
    )
    await bench.begin(doubled, unposted, gone, amiss, given_up)
    await bench.settle(doubled, amiss)
    await bench.settle(unposted, posted=False)
    await bench.settle(given_up, status="failed")
    rows = [doubled.row(), doubled.row(movement="mov_extra"), unposted.row(), gone.row()]
    bench.north.publish(0, [*rows, amiss.row(amount=407), given_up.row()])
    async with open_worker(worker_settings) as app, serve(app) as worker:
        await stamped_again(worker)
        await stamped_again(worker, "single_charge")
        assert await worker.metric("moneypath_duplicate_charges") == 1
        assert await worker.metric("moneypath_duplicate_charge_minor_units", currency="EUR") == 100
        assert await worker.metric("moneypath_check_violations", check="single_charge") == 1
        assert await worker.metric("moneypath_check_violations", check="settlement_matched") == 4
        risks = {
            "duplicate_charge": 100,
            "capture_without_posting": 200,
            "reconciliation_break": 300 + 7,
            "indeterminate": 500,
        }
        for reason, value in risks.items():
            assert await worker.metric(AT_RISK, reason=reason, currency="EUR") == value, reason
        assert (
            await worker.metric("moneypath_indeterminate_minor_units", provider="north", currency="EUR")
            == 300 + 500
        )
        labels = {"provider": "north", "class": "status"}
        assert await worker.metric(BREAKS, **labels) == 1
        assert await worker.metric("moneypath_reconciliation_oldest_break_timestamp_seconds", **labels) > 0


async def test_operators_see_breaks_and_have_reports_fetched_again(
    bench: "Bench", fakes: Mapping[str, FakeAcquirer], run_api: Callable[..., Any]
) -> None:
    """What is open by class and the newest of it; the action works once a key, is audited and idempotent."""
    op, lost, fine = capture(), capture(second=15), capture(second=35)
    await bench.have(op, lost, fine)
    bench.north.publish(0, [op.row(amount=990)])
    for sequence in (1, 2, 3):
        bench.north.publish(sequence, [fine.row()] if sequence == 3 else [])
    await bench.round(41)
    fakes["south"].publish(0)
    fakes["south"].truncated = True
    await bench.round(42)
    async with run_api(bench.settings) as api:
        shown = (await api.get("/v1/operations/reconciliation", by="observer")).body
        assert [one["provider"] for one in shown["providers"]] == ["north", "south"]
        assert [one["refused"] for one in shown["providers"]] == [0, 1]
        assert shown["providers"][0]["watermark"] == "2026-01-01T00:00:40+00:00"
        assert shown["providers"][1]["watermark"] is None
        sums = [(one["class"], one["breaks"], one["value_minor"]) for one in shown["open_breaks"]]
        assert sums == [("amount", 1, 10), ("missing_theirs", 1, 1000)]
        assert {one["key"] for one in shown["newest_breaks"]} == {str(op.key), str(lost.key)}

        async def refetch(provider: str, key: str, reason: str = "a drill") -> Any:
            path = f"/v1/operations/settlements/{provider}/refetch"
            return await api.post(path, {"reason": reason}, key=key, by="operator")

        first = await refetch("north", "key-1")
        assert (first.status, first.body) == (200, {"provider": "north", "reports": 3, "changed": True})
        replay = await refetch("north", "key-1")
        assert (replay.replayed, replay.raw) == (True, first.raw)
        assert (await refetch("north", "key-1", "another")).body["code"] == "idempotency_key_reused"
        assert (await refetch("north", "key-2")).body["changed"] is False
        assert (await refetch("west", "key-3")).status == 404
        events = await bench.db.rows("SELECT action, subject_id, after::text FROM audit.event")
        assert [(one["action"], one["subject_id"]) for one in events] == [("settlement.refetched", "north")]
        assert '"reason": "a drill"' in events[0]["after"]
    before = dict(bench.north.fetched)
    await bench.round(43)
    assert {one: bench.north.fetched[one] - before[one] for one in before} == {0: 1, 1: 1, 2: 1, 3: 0}
    assert len(await bench.breaks()) == 2
    assert (
        await bench.db.rows("SELECT 1 FROM reconciliation.report WHERE digest IS NULL AND provider = 'north'")
        == []
    )
    assert bench.counters.reports["north", "accepted"] == 4
