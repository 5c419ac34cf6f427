"""The pages of a target are read as its file says, and no pager makes a drill hang, loop or tell secrets."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from tests.target.drilled import LOOK, drilled_exchange
from tests.target.stranger import DUTY, KEY, Wallet

from moneypath.drills import target_pager
from moneypath.drills.heartbeat import await_heartbeat
from moneypath.drills.target_pager import TargetPager
from moneypath.incidents.events import LogHead
from moneypath.incidents.paging import AcknowledgementRefused, Page, PagerUnreachable

HEAD = LogHead(7, "abc")


@pytest.fixture
def wallet() -> Wallet:
    """Return a wallet whose pager has two pages."""
    return Wallet(pages=[page(1, "oncall"), page(2, "backup")])


@pytest.fixture
async def url(wallet: Wallet) -> AsyncIterator[str]:
    """Serve the wallet."""
    async with TestServer(wallet.application()) as server:
        yield str(server.make_url("")).rstrip("/")


def page(seq: int, role: str, **changes: Any) -> dict[str, Any]:
    """Return a page as the pager of the wallet has it."""
    alert = {"name": "WalletDown", "labels": {"bank": "bank-one"}}
    return {"seq": seq, "at": 10.0 + seq, "role": role, "status": "firing", "alerts": [alert]} | changes


def pager(folder: Path, url: str, **look: Any) -> TargetPager:
    """Return the pager of the wallet with other keys of `look`."""
    return TargetPager(drilled_exchange(folder, url, look={**LOOK, **look}))


async def test_pages_are_read_with_what_stands_in_them(tmp_path: Path, url: str, wallet: Wallet) -> None:
    """An alert without a time began with its page; those up to a number are not told again."""
    assert wallet.pages
    first, second = await pager(tmp_path, url).pages_after(0, wait_seconds=0)
    assert (first.seq, first.at, first.role, first.status) == (1, 11.0, "oncall", "firing")
    assert [(one.name, one.starts_at, one.labels) for one in first.alerts] == [
        ("WalletDown", 11.0, {"bank": "bank-one"})
    ]
    assert await pager(tmp_path, url).pages_after(1, wait_seconds=0) == (second,)
    assert await pager(tmp_path, url).pages_after(2, wait_seconds=0) == ()


async def test_pages_without_order_are_read_once_each(tmp_path: Path, url: str, wallet: Wallet) -> None:
    """Whoever reads on after the last one would read the same for ever, and fill the log."""
    wallet.lies = {"every page again"}
    wallet.pages = [page(5, "oncall"), page(3, "oncall"), page(5, "oncall"), page(4, "backup")]
    read = await pager(tmp_path, url).pages_after(3, wait_seconds=0)
    assert [one.seq for one in read] == [4, 5]
    assert await pager(tmp_path, url).pages_after(read[-1].seq, wait_seconds=0) == ()


async def test_a_pager_that_does_not_wait_is_not_asked_without_end(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer without pages comes at once, so the next question waits; one with pages does not."""
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    monkeypatch.setattr(target_pager, "asyncio", SimpleNamespace(sleep=pause))
    assert await pager(tmp_path, url).pages_after(9) == ()
    assert paused == [target_pager.EVERY_SECONDS]
    assert await pager(tmp_path, url).pages_after(0)
    assert paused == [target_pager.EVERY_SECONDS]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"role": None}, "pages.0.role"),
        ({"at": float("nan")}, "pages.0.at"),
        ({"at": float("inf")}, "pages.0.at"),
        ({"seq": "one"}, "pages.0.seq"),
        ({"alerts": [{"name": "A"}]}, "pages.0.alerts.0.labels"),
        ({"alerts": [{"name": "A", "labels": {}, "starts_at": float("nan")}]}, "alerts.0.starts_at"),
    ],
)
async def test_a_page_that_cannot_be_one_is_a_sentence(
    tmp_path: Path, url: str, wallet: Wallet, changed: dict[str, Any], said: str
) -> None:
    """It names the key."""
    wallet.lies, wallet.pages = {"every page again"}, [page(1, "oncall") | changed]
    with pytest.raises(PagerUnreachable, match="Pages cannot be read: ") as raised:
        await pager(tmp_path, url).pages_after(0)
    assert said in raised.value.what


@pytest.mark.parametrize(("lie", "said"), [("huge", "more than 1048576 bytes"), ("endless", "in time")])
async def test_an_answer_without_end_is_none(
    tmp_path: Path, url: str, wallet: Wallet, lie: str, said: str
) -> None:
    """A pager that answers too much, or never to the end."""
    wallet.lies = {lie}
    pages = LOOK["pages"] | {"timeout_seconds": 0.5}
    with pytest.raises(PagerUnreachable, match=said):
        await pager(tmp_path, url, pages=pages).pages_after(0)


async def test_what_the_file_lacks_is_a_sentence(tmp_path: Path, url: str) -> None:
    """Neither a page can be read nor acknowledged; without a heartbeat nobody asks for it."""
    bare = pager(tmp_path, url, pages=None, acknowledge=None, heartbeat=None)
    with pytest.raises(PagerUnreachable, match=r"no `look\.pages`"):
        await bare.pages_after(0)
    with pytest.raises(AcknowledgementRefused, match=r"no `look\.acknowledge`"):
        await bare.acknowledge(Page(1, 0.0, "oncall", "firing", ()), "oncall", HEAD)
    assert await bare.heartbeat_at() is None


async def test_a_role_acknowledges_with_its_own_secret(tmp_path: Path, url: str, wallet: Wallet) -> None:
    """The principal is the pager's word for who that was, without the secret that it quotes."""
    paging = pager(tmp_path, url)
    first, second = await paging.pages_after(0, wait_seconds=0)
    assert await paging.acknowledge(first, "oncall", HEAD) == "oncall of the shift, with ***"
    assert await paging.acknowledge(second, "backup", HEAD) == "backup of the shift, with ***"
    assert wallet.acknowledged == [(1, "oncall"), (2, "backup")]
    with pytest.raises(AcknowledgementRefused, match="page 1 to oncall") as raised:
        await paging.acknowledge(first, "backup", HEAD)
    assert not any(secret in str(raised.value) for secret in (*DUTY.values(), KEY))


async def test_the_role_is_the_principal_where_the_pager_names_none(tmp_path: Path, url: str) -> None:
    """An answer without JSON is a good one too."""
    quiet = {"command": ["true"]}
    paging = pager(tmp_path, url, acknowledge=quiet)
    assert await paging.acknowledge(Page(1, 0.0, "oncall", "firing", ()), "oncall", HEAD) == "oncall"


async def test_what_a_refusal_says_holds_no_secret(tmp_path: Path, url: str, wallet: Wallet) -> None:
    """A pager that answers with the key that it was asked with: neither error nor hint shows it."""
    wallet.lies = {"gossip"}
    auth = {"kind": "header", "name": "X-Wallet-Key", "value_file": "wallet_key"}
    gossip = {"request": {"url": "${wallet}/book?bank=b&since=0&until=1", "auth": auth}}
    paging = pager(tmp_path, url, heartbeat=gossip, pages=gossip)
    for asked in (paging.heartbeat_at(), paging.pages_after(0)):
        with pytest.raises(PagerUnreachable, match=r"cannot be read: .*answered 500") as raised:
            await asked
        assert "not even with ***" in raised.value.hint
        assert KEY not in str(raised.value)


@pytest.mark.parametrize("at", [None, "soon", True, 10**400, float("nan"), [1]])
async def test_what_is_no_time_is_no_heartbeat(tmp_path: Path, url: str, wallet: Wallet, at: object) -> None:
    """And so the drill waits for one in vain."""
    wallet.beat_at = at
    assert await pager(tmp_path, url).heartbeat_at() is None


async def test_a_heartbeat_counts_from_the_drill_on(tmp_path: Path, url: str, wallet: Wallet) -> None:
    """A later one is well, an earlier one is not, and one of the future would be later than anything."""
    now = time.time()
    wallet.beat_at = now
    paging = pager(tmp_path, url)
    assert await await_heartbeat(paging, since=now - 1, within_seconds=0) == ""
    assert "no heartbeat of the watchdog" in await await_heartbeat(paging, since=now + 1, within_seconds=0)
    wallet.beat_at = now + 60 + target_pager.AHEAD_SECONDS
    with pytest.raises(PagerUnreachable, match="s in the future, so it proves nothing"):
        await paging.heartbeat_at()
