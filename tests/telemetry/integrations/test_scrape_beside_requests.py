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
        start, *parts = self.messages
        assert [part.get("more_body", False) for part in parts] == [True] * (len(parts) - 1) + [False]
        content = b"".join(part["body"] for part in parts)
        assert dict(start["headers"])[b"content-length"] == str(len(content)).encode()
        return content


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


async def test_long_scrape_rests_after_each_step_and_is_sent_in_parts(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request takes several turns of the loop, and no step may come in between."""
    monkeypatch.setattr(recording_recorder, "STEP_SECONDS", 0.0)
    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", rest)
    answer = Answer()
    await metrics_endpoint(recorder)(SCOPE, answer.receive, answer.send)
    assert len(rests) == len(answer.messages) - 1 > 50
    assert min(rests) > 0
    assert answer.body.count(b"\n") == recorder.render().count(b"\n")


async def test_short_scrape_is_one_step_and_one_message(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short scrape is not cut up."""
    monkeypatch.setattr(recording_recorder, "STEP_SECONDS", 60.0)
    answer = Answer()
    await metrics_endpoint(recorder)(SCOPE, answer.receive, answer.send)
    assert len(answer.messages) == 2
    assert answer.body.count(b"\n") == recorder.render().count(b"\n")


async def test_head_request_gets_the_length_and_no_content(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps of a scrape that nobody reads are not sent."""
    monkeypatch.setattr(recording_recorder, "STEP_SECONDS", 0.0)
    answer = Answer()
    await metrics_endpoint(recorder)({**SCOPE, "method": "HEAD"}, answer.receive, answer.send)
    start, body = answer.messages
    assert int(dict(start["headers"])[b"content-length"]) > 10_000
    assert body == {"type": "http.response.body", "body": b""}


def test_loop_of_another_kind_gets_it_in_one_go(recorder: Recorder) -> None:
    """A server without an asyncio loop gets the text in one step."""
    answer = Answer()
    with pytest.raises(StopIteration):
        metrics_endpoint(recorder)(SCOPE, answer.receive, answer.send).__await__().__next__()
    assert answer.body.count(b"\n") == recorder.render().count(b"\n")
