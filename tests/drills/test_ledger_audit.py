"""The audit after a drill hears every client that it had, its attackers included."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from moneypath import oracle
from moneypath.drills.ledger_audit import audit_ledger
from moneypath.drills.service import Driven
from moneypath.stack.endpoints import Endpoints


def acknowledgement_log(file: Path, reference: str, outcome: str) -> Path:
    """Write an acknowledgement log with one authorization and its answer."""
    row = {
        "at": 0.0,
        "operation": "authorize",
        "idempotency_key": f"{reference}-authorize",
        "merchant_reference": reference,
        "payment_id": f"p-{reference}",
        "amount_minor": 100,
        "currency": "EUR",
        "status_code": 201,
        "outcome": outcome,
        "replayed": False,
        "merchant": "shop",
    }
    request = {
        key: row[key] for key in row if key not in ("payment_id", "status_code", "outcome", "replayed")
    }
    file.write_text(f"{json.dumps(request)}\n{json.dumps(row)}\n")
    return file


@pytest.fixture
def endpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Endpoints:
    """Return a stack whose ledger and one provider's book are empty."""

    async def nothing(*_: object) -> Sequence[object]:
        return ()

    monkeypatch.setattr(oracle, "read_postings", nothing)
    monkeypatch.setattr(oracle, "read_provider_book", nothing)
    monkeypatch.setattr(oracle, "read_reports_taken", nothing)
    (tmp_path / "north_control_token").write_text("token\n")
    return Endpoints(
        target="reference",
        service="", worker="", prometheus="", alertmanager="", pager="", providers={"north": ""},
        oracle_dsn="", secrets_folder=tmp_path, run_folder=tmp_path, scale=60,
    )  # fmt: skip


async def test_what_an_attacker_was_told_has_to_be_true(tmp_path: Path, endpoints: Endpoints) -> None:
    """An approval that no book holds is found, in whichever acknowledgement_log it stands."""
    shop = acknowledgement_log(tmp_path / "shop.jsonl", "order", "declined")
    attacker = acknowledgement_log(tmp_path / "attacker.jsonl", "try", "succeeded")
    report = await audit_ledger(endpoints, shop, attacker)
    assert [(found.kind, found.subject) for found in report.discrepancies] == [
        (oracle.DiscrepancyKind.ACKNOWLEDGED_LOST, "try")
    ]
    assert not (await audit_ledger(endpoints, shop)).discrepancies


async def test_the_load_is_held_to_its_plan(tmp_path: Path, endpoints: Endpoints) -> None:
    """One checkout of two hundred is no evidence of the rest."""
    shop = acknowledgement_log(tmp_path / "shop.jsonl", "order", "declined")
    attacker = acknowledgement_log(tmp_path / "attacker.jsonl", "try", "declined")
    report = await audit_ledger(endpoints, shop, attacker, driven=Driven(0.0, 200))
    assert "the load: 1 checkouts were asked for, 200 were planned, needed: 100 to 221" in (
        report.missing_evidence
    )
    report = await audit_ledger(endpoints, shop, attacker, driven=Driven(0.0, 1))
    assert not any("the load" in text for text in report.missing_evidence)


async def test_what_goes_on_between_drills_is_heard(tmp_path: Path, endpoints: Endpoints) -> None:
    """The checkouts of a stack that stays up are asked for too."""
    shop = acknowledgement_log(tmp_path / "shop.jsonl", "order", "declined")
    acknowledgement_log(tmp_path / "trickle-a.jsonl", "earlier", "succeeded")
    report = await audit_ledger(endpoints, shop)
    assert [found.subject for found in report.discrepancies] == ["earlier"]
