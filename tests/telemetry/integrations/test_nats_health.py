"""Why NATS takes no messages, by what the server says of its health."""

import pytest

from moneypath.telemetry.catalogue.vocabulary import WriteRefusal
from moneypath.telemetry.integrations.nats_health import find_refusals

_STREAM = "JetStream stream '$G > EVENTS' write error: write 1.blk: "


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (f"{_STREAM}no space left on device", WriteRefusal.DISK_FULL),
        (f"{_STREAM}disk quota exceeded", WriteRefusal.DISK_FULL),
        (f"{_STREAM}read-only file system", WriteRefusal.WRITE_FAILED),
        ("JetStream not enabled", WriteRefusal.DISABLED),
    ],
)
def test_a_refusal_is_named_in_the_words_of_the_server(words: str, cause: WriteRefusal) -> None:
    """Disk, any other failure to write, and JetStream that was shut down."""
    assert find_refusals({"errors": [{"error": words}]}) == {cause: words}


@pytest.mark.parametrize(
    "health",
    [
        {"status": "ok"},
        {"errors": []},
        {"errors": None},
        {"errors": "write error: "},
        {"errors": [None, 1, {}, {"error": 5}]},
        {"errors": [{"error": "JetStream account '_test_1' could not be resolved"}]},
        {"errors": [{"error": "JetStream stream '$G > EVENTS' could not be recovered"}]},
    ],
)
def test_nothing_else_is_a_refusal(health: dict[str, object]) -> None:
    """Health, other troubles, and answers that are none."""
    assert find_refusals(health) == {}


def test_every_cause_is_found_and_the_words_are_bounded() -> None:
    """Two streams with different errors are two causes."""
    long = f"{_STREAM}read-only file system{'x' * 10_000}"
    found = find_refusals({"errors": [{"error": f"{_STREAM}no space left on device"}, {"error": long}]})
    assert set(found) == {WriteRefusal.DISK_FULL, WriteRefusal.WRITE_FAILED}
    assert max(map(len, found.values())) <= 500
