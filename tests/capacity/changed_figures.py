"""Figures that are good but for what a test changes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from moneypath.capacity.client import ClientFigures, ClientRequest
from moneypath.capacity.figures import Comparison, Figures
from moneypath.capacity.gate_file import load_gate
from moneypath.capacity.permutation import Difference
from moneypath.capacity.resources import ResourceSample
from moneypath.path.loader import FILE_NAME, load

PROJECT = Path(__file__).parents[2]
GATE_FILE = PROJECT / "loadtests" / "gate.yaml"
PROMISES = load_gate(GATE_FILE, load(PROJECT / FILE_NAME))[1]
MEBIBYTE = 2**20


def with_counted(figures: Figures, **changes: object) -> Figures:
    """Return the figures with some of what was counted changed."""
    return replace(figures, counted=replace(figures.counted, **changes))  # type: ignore[arg-type]


def one_request(due: float, *, approved: bool = True) -> ClientRequest:
    """Return an authorization that was sent when it was due and answered in 40 ms."""
    outcome = "succeeded" if approved else "declined"
    return ClientRequest("authorize", due, due, 0, due + 0.04, outcome, (201,))


def with_requests(
    figures: Figures, change: Callable[[ClientRequest], ClientRequest], *, every: int = 1
) -> Figures:
    """Return the figures with each request changed whose number is a multiple of `every`."""
    assert figures.client is not None
    changed = [
        change(each) if number % every == 0 else each
        for number, each in enumerate(figures.client.requests, 1)
    ]
    window = figures.window
    client = ClientFigures(changed, start=window.start, until=window.asked_until, now=window.end)
    return replace(figures, client=client)


def one_sample(at: float) -> ResourceSample:
    """Return what a build uses that takes 10 ms and 10 kB a checkout at 60 checkouts/s."""
    return ResourceSample(at, 150 * MEBIBYTE, at * 0.6, round(at * 600_000))


def with_resources(figures: Figures, change: Callable[[ResourceSample, float], ResourceSample]) -> Figures:
    """Return the figures with each sample changed, by the share of the window that has passed then."""
    assert figures.resources
    first, last = figures.resources[0].at, figures.resources[-1].at
    samples = tuple(change(each, (each.at - first) / (last - first)) for each in figures.resources)
    return replace(figures, resources=samples)


def compared(
    chance: float = 0.5, *, windows: int = 12, unusable: str = "", sighted: bool = True
) -> Comparison:
    """Return a comparison in which one measure has this chance."""
    each = ({"latency_median": 0.03},) * windows
    return Comparison("HEAD", each, each, (Difference("latency_median", 1.1, chance),), unusable, sighted)
