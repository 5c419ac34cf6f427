"""The criteria of what a build uses: growth over the window, and resources a checkout."""

from collections.abc import Callable

from moneypath.capacity.figures import Figures
from moneypath.capacity.gate_file import DeclaredObjectives, Gate
from moneypath.capacity.observation import NOT_READ, Observation
from moneypath.capacity.resources import ResourceSample, growth, inside, per_transaction

MEBIBYTE = 2**20


def memory(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    """Judge by how much the memory of the build's processes grew."""
    limit = gate.limits.memory_growth_mebibytes

    def mebibytes(sample: ResourceSample) -> float:
        return sample.pss_bytes / MEBIBYTE

    allowed = f"at most {limit} MiB more over the window"
    samples = inside(figures.resources or (), figures.window)
    risen = growth(samples, mebibytes)
    if risen is None:
        return Observation(None, NOT_READ, allowed)
    first, last = mebibytes(samples[0]), mebibytes(samples[-1])
    return Observation(risen <= limit, f"{first:.0f} to {last:.0f} MiB, by its slope {risen:+.1f}", allowed)


def connections(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    """Judge how many connections and files the build's processes keep open after the load.

    Under load their number follows that of the clients.
    """
    limit = gate.limits.connections_left_open
    allowed = f"at most {limit} more after the load than before"
    if figures.connections is None:
        return Observation(None, NOT_READ, allowed)
    before, after = figures.connections
    return Observation(after - before <= limit, f"{before} before, {after} after", allowed)


def processor_time(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    """Judge the processor time of a checkout."""
    limit = gate.limits.processor_microseconds_per_checkout
    return _each(figures, lambda sample: sample.cpu_seconds * 1e6, limit, "us")


def bytes_written(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    """Judge what is written for a checkout."""
    limit = gate.limits.bytes_written_per_checkout
    return _each(figures, lambda sample: sample.written_bytes, limit, "bytes")


def _each(figures: Figures, counter: Callable[[ResourceSample], float], limit: int, unit: str) -> Observation:
    allowed = f"at most {limit} {unit} a checkout"
    seconds = figures.window.asked_seconds
    if figures.checkouts is None or seconds <= 0:
        return Observation(None, NOT_READ, allowed)
    used = per_transaction(
        inside(figures.resources or (), figures.window), counter, figures.checkouts / seconds
    )
    if used is None:
        return Observation(None, NOT_READ, allowed)
    return Observation(used <= limit, f"{used:.0f} {unit}", allowed)
