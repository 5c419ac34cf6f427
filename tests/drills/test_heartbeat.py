"""A drill does not begin over a paging path that is dead."""

from collections.abc import Iterator

from moneypath.drills.heartbeat import await_heartbeat, heartbeat_seconds


class _Pager:
    def __init__(self, *beats: float | None) -> None:
        self._beats: Iterator[float | None] = iter(beats)
        self._last: float | None = None

    async def heartbeat_at(self) -> float | None:
        self._last = next(self._beats, self._last)
        return self._last


async def test_a_fresh_heartbeat_is_life() -> None:
    """One later than the question is enough."""
    assert await await_heartbeat(_Pager(90.0, 101.0), since=100.0, within_seconds=5) == ""


async def test_an_old_heartbeat_is_no_life() -> None:
    """Heartbeats that stopped are told, with their age."""
    found = await await_heartbeat(_Pager(90.0), since=100.0, within_seconds=0, now=lambda: 103.0)
    assert "13.0 s ago" in found


async def test_no_heartbeat_at_all_is_told() -> None:
    """A pager that never heard one is told apart."""
    found = await await_heartbeat(_Pager(None), since=100.0, within_seconds=0, now=lambda: 103.0)
    assert "none at all" in found


def test_it_is_awaited_by_the_scale_of_the_stack() -> None:
    """In production it beats once a minute: 20 s would call every stack dead."""
    assert heartbeat_seconds(60) == heartbeat_seconds(6) == 20.0
    assert 120 < heartbeat_seconds(1) <= 180
