"""An alert is recorded once, by whoever tells first, and its end by Prometheus alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moneypath.drills.watchers import AlertWatcher
from moneypath.incidents.events import EventLog
from moneypath.prometheus import Prometheus

LABELS = {"alertname": "Burn", "severity": "critical", "provider": "north"}


def _listed(state: str = "firing", **labels: str) -> dict[str, Any]:
    return {"state": state, "labels": {**LABELS, **labels}}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    """A log whose clocks stand still."""
    log = EventLog(tmp_path / "events.jsonl", wall=lambda: 1000.0, mono=lambda: 50.0)
    yield log
    log.close()


def _told(log: EventLog) -> list[tuple[str, str, float]]:
    return [(event.kind, event.source, event.ts_mono) for event in log.events]


def test_a_page_dates_its_alert_and_the_list_does_not_repeat_it(log: EventLog) -> None:
    """The page comes first: one firing, dated by the page; the list ends it."""
    watcher = AlertWatcher(Prometheus("http://127.0.0.1:1"), log)
    watcher.note_page(LABELS, 48.0)
    watcher.note_page(LABELS, 48.0)
    watcher._note_list([])
    watcher._note_list([_listed()])
    watcher._note_list([])
    assert _told(log) == [("alert.firing", "pager", 48.0), ("alert.resolved", "prometheus", 50.0)]


def test_the_list_comes_first_and_the_page_does_not_repeat_it(log: EventLog) -> None:
    """The same the other way round."""
    watcher = AlertWatcher(Prometheus("http://127.0.0.1:1"), log)
    watcher._note_list([_listed()])
    watcher.note_page(LABELS, 48.0)
    assert _told(log) == [("alert.firing", "prometheus", 50.0)]


@pytest.mark.parametrize("page_first", [True, False])
def test_labels_that_prometheus_adds_to_what_it_sends_make_no_second_alert(
    log: EventLog, page_first: bool
) -> None:
    """The page says `environment`, the list does not; another provider's alert is another one."""
    watcher = AlertWatcher(Prometheus("http://127.0.0.1:1"), log)
    sent = {**LABELS, "environment": "bench", "replica": "a"}
    if page_first:
        watcher.note_page(sent, 48.0)
        watcher._note_list([_listed()])
    else:
        watcher._note_list([_listed()])
        watcher.note_page(sent, 48.0)
    watcher.note_page(sent, 48.0)
    assert [kind for kind, _, _ in _told(log)] == ["alert.firing"]
    watcher._note_list([_listed(), _listed(provider="south")])
    watcher._note_list([])
    assert [kind for kind, _, _ in _told(log)].count("alert.firing") == 2
    assert [kind for kind, _, _ in _told(log)].count("alert.resolved") == 2


def test_pending_alerts_and_the_watchdog_are_no_alerts(log: EventLog) -> None:
    """What waits for its `for`, and what always fires, is not recorded."""
    watcher = AlertWatcher(Prometheus("http://127.0.0.1:1"), log)
    watcher._note_list([_listed("pending"), _listed(severity="none")])
    assert _told(log) == []


def test_an_alert_that_comes_back_is_recorded_again(log: EventLog) -> None:
    """Firing, resolved, firing are three events."""
    watcher = AlertWatcher(Prometheus("http://127.0.0.1:1"), log)
    for alerts in ([_listed()], [], [_listed()]):
        watcher._note_list(alerts)
    assert [kind for kind, _, _ in _told(log)] == ["alert.firing", "alert.resolved", "alert.firing"]
