"""The parts of an outage: a fault that is really there, pages that are counted, a stack that stays whole."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen

import psutil
import pytest
from proofs.outages.errors import MountRefused, OutageFailed
from proofs.outages.outage import Outage, Server, Way, taken_away
from proofs.outages.pages import Delivered, count_pages
from proofs.outages.small_disk import FILLER, SmallDisk
from proofs.outages.table import describe_pages, render

from moneypath.incidents.paging import Page, PagedAlert
from moneypath.stack.supervisor import Supervisor
from proofs.outages import healing, outage, small_disk

FAMILY = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """A process and its child, as PostgreSQL has many."""
    with Popen([sys.executable, "-c", FAMILY], stdin=PIPE, stdout=PIPE) as parent:
        assert parent.stdout is not None
        yield parent.pid, int(parent.stdout.readline())
        parent.kill()


def test_a_frozen_server_stands_still_with_its_children_and_goes_on_afterwards(
    family: tuple[int, int],
) -> None:
    """A parent alone would leave the sessions that clients have."""
    with outage._frozen(family[0]):
        assert {psutil.Process(pid).status() for pid in family} == {psutil.STATUS_STOPPED}
    assert psutil.STATUS_STOPPED not in {psutil.Process(pid).status() for pid in family}


def test_a_process_that_goes_on_is_no_outage(
    family: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that is not there proves nothing."""
    monkeypatch.setattr(outage, "_STOPPED_WITHIN_SECONDS", 0.0)
    with pytest.raises(OutageFailed, match="goes on in spite of SIGSTOP"):
        outage._require_stopped([psutil.Process(family[1])])
    os.kill(family[1], signal.SIGCONT)


async def test_a_full_disk_without_a_disk_is_refused(tmp_path: Path) -> None:
    """Nothing is filled that is not ours."""
    supervisor = Supervisor(tmp_path)
    with pytest.raises(OutageFailed, match="nats disk full: no disk was mounted"):
        async with taken_away(Outage(Server.NATS, Way.DISK_FULL, 1), supervisor, None):
            pass


async def test_without_the_right_to_mount_the_reason_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table says why a row is missing."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(MountRefused, match="only root may mount one"):
        async with small_disk.small_disk(tmp_path / "disk"):
            pass


@pytest.mark.parametrize(
    ("command", "said"), [(("false", "x"), "false ended with 1"), (("no-such-mount",), "cannot be run")]
)
async def test_a_command_that_fails_says_what_it_said(command: tuple[str, ...], said: str) -> None:
    """A mount that was refused is not taken for one that was made."""
    with pytest.raises(OutageFailed, match=said):
        await small_disk._run(*command)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
async def test_a_full_disk_takes_no_byte_and_takes_them_again_once_it_is_freed(tmp_path: Path) -> None:
    """Full means full: not even a small file fits. The mount is gone afterwards."""
    try:
        async with small_disk.small_disk(tmp_path / "disk", mebibytes=2) as disk:
            assert disk.fill() > 1_900_000
            with pytest.raises(OSError, match="No space left"):
                (disk.folder / "more").write_bytes(bytes(8192))
            (disk.folder / "more").unlink()
            assert disk.fill() == 0
            disk.free()
            (disk.folder / "more").write_bytes(bytes(8192))
            assert disk.holds(disk.folder / "more")
            assert not disk.holds(tmp_path)
    except MountRefused as refused:
        pytest.skip(refused.what)
    assert not (tmp_path / "disk").exists()


def test_another_error_than_a_full_disk_is_raised(tmp_path: Path) -> None:
    """A disk that cannot be written to is not full."""
    (tmp_path / FILLER).mkdir()
    with pytest.raises(IsADirectoryError):
        SmallDisk(tmp_path).fill()


def _alert(name: str, status: str = "firing", at: float = 1.0, **labels: str) -> PagedAlert:
    return PagedAlert(name, status, at, {"alertname": name, **labels}, {})


def _page(seq: int, role: str, *alerts: PagedAlert) -> Page:
    status = "firing" if any(each.status == "firing" for each in alerts) else "resolved"
    return Page(seq, float(seq), role, status, alerts)


PAGES = (
    _page(1, "eng", _alert("MoneyPathQueueBacklog", queue="outbox")),
    _page(2, "ops", _alert("MoneyPathQueueBacklog", queue="outbox")),
    _page(
        3, "eng", _alert("MoneyPathQueueBacklog", queue="outbox"), _alert("MoneyPathQueueBacklog", queue="x")
    ),
    _page(4, "eng", _alert("MoneyPathQueueBacklog", "resolved", queue="outbox")),
    _page(5, "eng", _alert("MoneyPathTargetDown", job="refpay-api")),
)


def test_pages_are_counted_by_who_was_told_what() -> None:
    """A delivery counts once for its role; that something is over is no page."""
    counted = count_pages(PAGES)
    assert counted.by_role == {"eng": 3, "ops": 1}
    assert counted.by_alert[("MoneyPathQueueBacklog", "eng")] == 2
    assert (counted.total, counted.told_over, counted.alerts) == (4, 1, 3)
    assert describe_pages(counted) == "QueueBacklog eng 2 ops 1; TargetDown eng 1"


def test_an_alert_that_began_again_is_another_one() -> None:
    """A page that flaps is not one page."""
    again = (*PAGES[:1], _page(6, "eng", _alert("MoneyPathQueueBacklog", at=9.0, queue="outbox")))
    assert count_pages(again).alerts == 2


def test_what_was_paged_is_over_once_each_role_was_told() -> None:
    """The other role waits for its own message, and the other queue too."""
    delivered = Delivered()
    for page in PAGES:
        delivered._take(page)
    assert delivered.open_alerts == {
        "ops alertname=MoneyPathQueueBacklog queue=outbox",
        "eng alertname=MoneyPathQueueBacklog queue=x",
        "eng alertname=MoneyPathTargetDown job=refpay-api",
    }
    assert not delivered.all_resolved
    delivered.forget()
    assert not delivered.all_resolved, "what is open stays open"


def _script(*answers: bool) -> healing.Holds:
    """Hold or not in this order, the last answer for good."""
    left = list(answers)

    async def holds() -> bool:
        return left.pop(0) if len(left) > 1 else left[0]

    return holds


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, and be content soon."""
    monkeypatch.setattr(healing, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(healing, "STAYS_WHOLE_SECONDS", 0.05)


@pytest.mark.usefixtures("hurried")
async def test_a_stack_is_whole_once_every_part_stays_so() -> None:
    """A part that holds, breaks and holds again counts from the last time."""
    begun = time.monotonic()
    parts = {"payments": _script(True), "alerts": _script(True, False, False, True)}
    found = await healing.await_whole(parts, begun, 5.0)
    assert found.seconds is not None
    assert found.last == "alerts"
    assert found.seconds == found.parts["alerts"]


@pytest.mark.usefixtures("hurried")
async def test_a_part_that_never_holds_or_never_answers_is_named() -> None:
    """An error is an answer too: not yet."""

    async def unreachable() -> bool:
        raise ConnectionRefusedError

    parts = {"payments": _script(True), "messages": _script(False), "readiness": unreachable}
    found = await healing.await_whole(parts, time.monotonic(), 0.1)
    assert found.seconds is None
    assert found.last == "messages, readiness"


@pytest.mark.usefixtures("hurried")
async def test_a_part_that_breaks_in_the_end_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Late cries are heard."""
    monkeypatch.setattr(healing, "STAYS_WHOLE_SECONDS", 1.5)
    parts = {"alerts": _script(True, True, False)}
    assert (await healing.await_whole(parts, time.monotonic(), 0.0)).seconds is None


def test_what_was_skipped_has_a_row_with_its_reason() -> None:
    """No row disappears in silence."""
    table = render([], {"nats-disk-full": "No small disk: only root may mount one."})
    assert table.row_count == 1
    assert list(table.columns[-1].cells) == ["skipped: No small disk: only root may mount one."]
