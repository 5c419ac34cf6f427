"""What moneypath itself keeps and says repeats no card number: evidence, pages, problems, errors."""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel, ConfigDict

from moneypath.cli.main import run
from moneypath.errors import MoneypathError
from moneypath.incidents.events import EventLog, read_events
from moneypath.path.problems import DeclarationInvalid
from moneypath.path.source import load_yaml, parse_yaml
from moneypath.stack.pager.payload import Webhook
from moneypath.stack.pager.store import PageStore

CARD = "4111111111111111"
SPLIT = {"pan_first": CARD[:8], "pan_last": CARD[8:]}
SECRETS = (CARD, "4111 1111 1111 1111", CARD[8:], "hunter2")


def assert_silent(text: str) -> None:
    """Assert that a text repeats neither the number, nor its second half, nor the secret."""
    for secret in SECRETS:
        assert secret not in text
    assert "[card]" in text or "[secret]" in text


@pytest.mark.parametrize(
    "payload",
    [
        {"reason": f"refused {CARD}"},
        {"reason": ["sent", f"Authorization: Bearer hunter2 for {CARD}"]},
        {"number": int(CARD)},
        {"deep": {"list": [{"pan": CARD}]}},
        {"fields": SPLIT},
        {"password": "hunter2"},
        {CARD: True},
    ],
)
def test_evidence_holds_no_number(tmp_path: Path, payload: dict[str, Any]) -> None:
    """Masked before it is sealed, so that the seal holds over what was written."""
    log = EventLog(tmp_path / "events.jsonl")
    log.append("measured", "paid with 4111 1111 1111 1111", payload)
    log.close()
    assert_silent((tmp_path / "events.jsonl").read_text(encoding="utf-8"))
    assert read_events(tmp_path / "events.jsonl") == log.events


def test_evidence_keeps_what_is_measured(tmp_path: Path) -> None:
    """Amounts, times, ids and texts come back as they were."""
    payload = {
        "amount": 4999,
        "at": 1763800000.25,
        "ok": True,
        "none": None,
        "ids": ["a", 7],
        "nested": {"x": "y"},
    }
    log = EventLog(tmp_path / "events.jsonl")
    log.append("measured", "customers", payload)
    log.close()
    assert read_events(tmp_path / "events.jsonl")[0].payload == payload


def webhook(text: str) -> Webhook:
    """Return a notification whose labels and annotations quote a text."""
    labels = {"alertname": "MoneyPathLedgerUnbalanced", "instance": text}
    alert = {
        "status": "firing", "labels": labels, "annotations": {"description": f"seen {text}", **SPLIT},
        "startsAt": "2026-11-22T12:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus", "fingerprint": "abc",
    }  # fmt: skip
    common = {"groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am"}
    body = {
        "version": "4", "groupKey": f"{{}}:{{instance={text}}}", "truncatedAlerts": 0, "status": "firing",
        "receiver": "eng", "alerts": [alert], **common,
    }  # fmt: skip
    return Webhook.model_validate_json(json.dumps(body))


def test_pages_hold_no_number(tmp_path: Path) -> None:
    """A label's value comes from whatever was measured; neither the file nor an answer repeats it."""
    store = PageStore(tmp_path / "pages.jsonl")
    page = store.add_page("eng", webhook(f"{CARD} token=hunter2"), 1.0)
    store.close()
    assert_silent((tmp_path / "pages.jsonl").read_text(encoding="utf-8"))
    assert_silent(str(page))
    assert page.alerts[0].name == "MoneyPathLedgerUnbalanced"
    again = PageStore(tmp_path / "pages.jsonl")
    again.close()
    assert again.pages == [page]


class Declared(BaseModel):
    """A small declaration."""

    model_config = ConfigDict(extra="forbid")
    name: int


@pytest.mark.parametrize(
    "text",
    [
        f"name: {CARD} x",
        f"name: 1\n{CARD}: 2\n",
        f"name: 1\n'{CARD}': 2\n",
        f"{CARD}: 1\n{CARD}: 2\n",
        f"name: {CARD}{CARD}",
        "name: 1\n'password=hunter2': 2\n",
        f"name: 1\n'card {CARD} token=hunter2': *alias",
    ],
)
def test_problem_of_a_declaration_does_not_repeat_what_was_pasted(text: str) -> None:
    """It names file, line and key all the same."""
    with pytest.raises(DeclarationInvalid) as caught:
        parse_yaml(text, Declared, file="moneypath.yaml")
    for secret in SECRETS:
        assert secret not in str(caught.value)
    assert "moneypath.yaml:" in str(caught.value)


def test_file_that_is_no_declaration_is_named(tmp_path: Path) -> None:
    """A guard of the guard: what is harmless is still said."""
    with pytest.raises(DeclarationInvalid, match=r"other\.yaml:1: does not exist"):
        load_yaml(tmp_path / "other.yaml", Declared)


def refuse(error: Exception, **_: Any) -> None:
    """Fail as a command does."""
    raise error


ERRORS: list[Callable[[], Exception]] = [
    lambda: MoneypathError(f"not found: {CARD}", hint="token=hunter2"),
    lambda: click.UsageError(f"no such option --{CARD}, password=hunter2"),
    lambda: ExceptionGroup("two", [MoneypathError(f"not found: {CARD}"), MoneypathError("token=hunter2")]),
]


@pytest.mark.parametrize("make", ERRORS)
def test_command_line_does_not_repeat_what_was_typed(
    make: Callable[[], Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    """What it quotes is masked, the rest of the sentence stays."""
    with pytest.raises(SystemExit) as caught:
        run(partial(refuse, make()))
    assert caught.value.code not in (0, None)
    said = capsys.readouterr().err
    assert_silent(said)
    assert "not found" in said or "no such option" in said
    assert os.linesep in said
