"""The open schedule of a load: due instants that no answer moves, and a limit to what is made up for."""

import json
from pathlib import Path

import pytest
from loadtests.request_log import RequestLog
from loadtests.schedule import Interval, Schedule
from loadtests.settings import SettingsInvalid, read_settings

RATE, USERS = 10.0, 5


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _schedule(clock: Clock, *turns: Interval) -> Schedule:
    return Schedule(rate=RATE, users=USERS, seed="1", turns=turns, now=clock)


def test_each_slot_has_one_due_instant() -> None:
    """Whatever the answers take: the clock does not move here."""
    clock = Clock()
    schedule = _schedule(clock)
    for slot in range(100):
        due = schedule.take()
        assert due is not None
        assert due.skipped == 0
        assert slot / RATE <= due.at - clock.now < (slot + 1) / RATE


def test_a_seed_repeats_its_schedule() -> None:
    """Two runs are due at the same instants from their start."""
    first, second = _schedule(Clock()), _schedule(Clock())
    assert [first.take() for _ in range(20)] == [second.take() for _ in range(20)]


def test_what_is_late_is_made_up_for_up_to_one_checkout_a_user() -> None:
    """The others are given up and counted, so that the load has a limit."""
    clock = Clock()
    schedule = _schedule(clock)
    clock.now += 10.0
    late = []
    while (due := schedule.take()) is not None and due.at <= clock.now:
        late.append(due)
    assert len(late) <= USERS + 1
    assert late[0].skipped + len(late) == pytest.approx(10.0 * RATE, abs=1)
    assert all(each.skipped == 0 for each in late[1:])


def test_nothing_is_due_outside_of_the_turns() -> None:
    """And nothing after the last."""
    clock = Clock()
    turns = [(1001.0, 1002.0), (1005.0, 1006.0)]
    schedule = _schedule(clock, *turns)
    taken = []
    while (due := schedule.take()) is not None:
        taken.append(due.at)
    for begin, end in turns:
        assert sum(begin <= at < end for at in taken) == pytest.approx(RATE, abs=1)
    assert all(any(begin <= at < end for begin, end in turns) for at in taken)
    assert schedule.take() is None


def test_a_request_has_a_line_when_it_is_sent_and_one_when_it_is_answered(tmp_path: Path) -> None:
    """The first is there although the second never comes."""
    clock = Clock()
    log = RequestLog(tmp_path / "requests.jsonl", clock)
    number = log.begin("authorize", 999.5, skipped=2)
    clock.now += 1.0
    log.begin("capture")
    log.end(number, "succeeded", [503, 201])
    log.close()
    rows = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    assert rows == [
        {"begun": 1, "operation": "authorize", "due": 999.5, "sent": 1000.0, "skipped": 2},
        {"begun": 2, "operation": "capture", "due": 1001.0, "sent": 1001.0, "skipped": 0},
        {"ended": 1, "answered": 1001.0, "outcome": "succeeded", "status_codes": [503, 201]},
    ]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return the least that a run with a log of requests needs."""
    client_file = tmp_path / "client"
    client_file.write_text("checkout:the-secret\n")
    return {
        "MONEYPATH_ACKNOWLEDGEMENT_LOG_FILE": str(tmp_path / "acknowledgements.jsonl"),
        "MONEYPATH_CHECKOUT_CLIENT_FILE": str(client_file),
        "MONEYPATH_REQUEST_LOG_FILE": str(tmp_path / "requests.jsonl"),
    }


def test_turns_are_read_in_their_order(environment: dict[str, str]) -> None:
    """Without any, requests are always due."""
    assert read_settings(environment).turns == ()
    settings = read_settings({**environment, "MONEYPATH_TURNS": "10-20.5,30-31"})
    assert settings.turns == ((10.0, 20.5), (30.0, 31.0))


@pytest.mark.parametrize("turns", ["10", "20-10", "10-20,15-30", "a-b", "10-inf", "-5-10", "nan-5"])
def test_turns_that_are_none_are_refused(environment: dict[str, str], turns: str) -> None:
    """The message shows how they are written."""
    with pytest.raises(SettingsInvalid, match="MONEYPATH_TURNS: must be turns"):
        read_settings({**environment, "MONEYPATH_TURNS": turns})


def test_turns_without_a_log_of_requests_are_refused(environment: dict[str, str]) -> None:
    """The schedule is open only with one."""
    del environment["MONEYPATH_REQUEST_LOG_FILE"]
    with pytest.raises(SettingsInvalid, match="needs MONEYPATH_REQUEST_LOG_FILE"):
        read_settings({**environment, "MONEYPATH_TURNS": "10-20"})
