"""Each seeded bad build has its one defect, and nothing of it is inside the product."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from loadtests.badbuilds import slower
from loadtests.badbuilds.charges_twice_under_retry import KEY, RememberingProvider
from loadtests.badbuilds.loses_postings import FIRST_LOSS, PERIOD, LosingLedger
from loadtests.badbuilds.wiring import replace as rewire

from refpay.ledger.entries import Entry, EntryKind
from refpay.money import Currency, Money
from refpay.providers.port import Answer, Call, CallKind, ProviderResult

PROJECT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Recording:
    """A provider that approves everything and keeps what it was asked."""

    name = "north"

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def require_closed(self) -> None:
        """Be closed."""

    async def perform(self, call: Call) -> Answer:
        self.calls.append(call)
        return Answer(ProviderResult.DONE, provider_reference=f"ref-{len(self.calls)}")


def _call(kind: CallKind, parent: str = "") -> Call:
    return Call(
        kind=kind,
        key=uuid4(),
        deadline=NOW + timedelta(seconds=5),
        reference="order-1",
        money=Money(500, Currency.EUR),
        card_token="tok_411111_1",
        parent=parent,
    )


def _entry(kind: EntryKind = EntryKind.POSTING) -> Entry:
    return Entry(uuid4(), kind, uuid4(), uuid4(), NOW, ())


async def _posted(losing: Any, count: int, kind: EntryKind = EntryKind.POSTING) -> None:
    for _ in range(count):
        await losing(None, _entry(kind))


async def test_one_posting_in_ten_thousand_is_lost_and_no_reversal() -> None:
    """The first at the seeded phase, then one a period; any 10,000 postings in a row hold exactly one."""
    kept: list[Entry] = []

    async def post(_: Any, entry: Entry) -> None:
        kept.append(entry)

    losing = LosingLedger(post)
    await _posted(losing, FIRST_LOSS - 1)
    assert len(kept) == FIRST_LOSS - 1
    await _posted(losing, 1)
    assert len(kept) == FIRST_LOSS - 1
    await _posted(losing, PERIOD)
    assert len(kept) == FIRST_LOSS - 1 + PERIOD - 1
    await _posted(losing, PERIOD, EntryKind.REVERSAL)
    assert len(kept) == FIRST_LOSS - 1 + PERIOD - 1 + PERIOD
    assert 1 <= FIRST_LOSS <= PERIOD


async def test_a_slow_build_thinks_before_authorizations_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answers, later."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", pause)
    inner = Recording()
    provider = slower.SlowProvider(inner)
    for kind in (CallKind.AUTHORIZE, CallKind.CAPTURE, CallKind.REFUND):
        await provider.perform(_call(kind))
    assert pauses == [slower.SECONDS]
    assert len(inner.calls) == 3


async def test_a_retried_key_is_charged_anew_under_other_keys() -> None:
    """Authorization and capture are sent again: same reference and money, keys that nobody has seen."""
    inner = Recording()
    provider = RememberingProvider(inner)
    KEY.set("customer-key")
    authorization = _call(CallKind.AUTHORIZE)
    await provider.perform(authorization)
    await provider.perform(_call(CallKind.CAPTURE, parent="ref-1"))
    await provider.charge_again("another-key")
    assert len(inner.calls) == 2
    await provider.charge_again("customer-key")
    kinds = [call.kind for call in inner.calls]
    assert kinds == [CallKind.AUTHORIZE, CallKind.CAPTURE] * 2
    assert inner.calls[3].parent == "ref-3"
    assert len({call.key for call in inner.calls}) == 4
    again = replace(inner.calls[2], key=authorization.key, deadline=authorization.deadline)
    assert again == authorization


def test_a_part_that_is_not_there_any_more_is_an_error() -> None:
    """A bad build that silently became the good one would prove nothing."""
    module = ModuleType("composition_root")
    with pytest.raises(AttributeError):
        rewire(module, "make_resilient", lambda part: part)


@pytest.mark.parametrize(
    "build",
    [
        "slower",
        "loses_postings",
        "charges_twice_under_retry",
        "acknowledges_before_disk",
        "acknowledges_before_disk_worker",
    ],
)
def test_a_bad_build_starts_as_the_service_does(build: str, tmp_path: Path) -> None:
    """Without settings it refuses with the service's own sentence, so its wiring has found every part."""
    result = subprocess.run(
        [sys.executable, "-m", f"loadtests.badbuilds.{build}"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("refpay: "), result.stderr


def test_the_product_has_no_switch_for_a_defect() -> None:
    """Nothing of the service or the platform knows the bad builds."""
    for file in (PROJECT / "src").rglob("*.py"):
        assert "badbuilds." not in file.read_text(encoding="utf-8").replace(
            "--build loadtests.badbuilds.loses_postings", ""
        ), file
