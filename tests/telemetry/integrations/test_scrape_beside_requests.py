"""A scrape shares the event loop with requests."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.integrations.asgi import metrics_endpoint
from moneypath.telemetry.recording import recorder as recording_recorder

SCOPE = {"type": "http", "method": "GET", "path": "/metrics", "headers": []}


@pytest.fixture
def recorder() -> Recorder:
    """Return a recorder with a few hundred lines."""
    vocabulary = {"providers": ("north",), "currencies": ("EUR",), "checks": ("a",), "schemes": ("visa",)}
    return setup(Catalogue.build(vocabulary), service="api")


class Answer:
    """The response of the endpoint."""

    def __init__(self) -> None:
        self.messages: list[MutableMapping[str, Any]] = []

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Receive a message."""
        self.messages.append(message)

    async def receive(self) -> MutableMapping[str, Any]:
        """Return the request's body."""
        return {"type": "http.request"}

    @property
    def body(self) -> bytes:
        """Return the content, and assert that its Content-Length is right."""
        start, body = self.messages
        assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()
        return bytes(body["body"])


async def turns_beside_a_scrape(recorder: Recorder, answer: Answer) -> int:
    """Return how often another task ran during the scrape."""
    turns = 0
    scrape = asyncio.ensure_future(metrics_endpoint(recorder)(SCOPE, answer.receive, answer.send))
    while not scrape.done():
        turns += 1
        await asyncio.sleep(0)
    await scrape
    return turns


async def test_others_get_their_turn_during_a_long_scrape(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two steps of a scrape the loop runs other tasks, and the text is complete."""
    monkeypatch.setattr(recording_recorder, "STEP_SECONDS", 0.0)
    answer = Answer()
    assert await turns_beside_a_scrape(recorder, answer) > 50
    assert answer.body.count(b"\n") == recorder.render().count(b"\n")


async def test_short_scrape_takes_one_step(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short scrape does not switch tasks."""
    monkeypatch.setattr(recording_recorder, "STEP_SECONDS", 60.0)
    assert await turns_beside_a_scrape(recorder, Answer()) <= 3


def test_loop_of_another_kind_gets_it_in_one_go(recorder: Recorder) -> None:
    """A server without an asyncio loop gets the text in one step."""
    answer = Answer()
    with pytest.raises(StopIteration):
        metrics_endpoint(recorder)(SCOPE, answer.receive, answer.send).__await__().__next__()
    assert answer.body.count(b"\n") == recorder.render().count(b"\n")
