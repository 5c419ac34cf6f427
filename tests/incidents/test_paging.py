"""Whoever acknowledges a page leaves the head of the event log with the pager."""

from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from tests.incidents.sabotage.bundles import webhook

from moneypath.incidents.events import EventLog
from moneypath.incidents.paging import AcknowledgementRefused, Pager
from moneypath.stack import secrets
from moneypath.stack.pager.app import Tokens, create_app
from moneypath.stack.pager.store import PageStore


async def test_pager_keeps_the_head_of_the_log_that_acknowledged(tmp_path: Path) -> None:
    """Read from the pager's own file, so that the log cannot be changed before that event."""
    names = ["pager_token", "role_eng_token", "role_ops_token"]
    secrets.mint(tmp_path / "secrets", names)
    store = PageStore(tmp_path / "pages.jsonl")
    store.add_page("eng", webhook(), 1_795_345_200.0)
    log = EventLog(tmp_path / "events.jsonl")
    log.append("measured", "one")
    log.append("measured", "two")
    log.close()
    app = create_app(store, Tokens.load(tmp_path / "secrets"))
    async with TestServer(app) as server, Pager(str(server.make_url("/")), tmp_path / "secrets") as pager:
        (page,) = await pager.pages_after(0, wait_seconds=0)
        with pytest.raises(AcknowledgementRefused):
            await pager.acknowledge(page, "ops", log.head)
        principal = await pager.acknowledge(page, "eng", log.head)
    assert principal == "role_eng"
    kept = PageStore(tmp_path / "pages.jsonl")
    kept.close()
    made = kept.acknowledgements[1]
    assert (made.log_seq, made.log_hash) == (2, log.events[1].hash)
