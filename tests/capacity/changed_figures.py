"""Figures that are good but for what a test changes."""

from dataclasses import replace
from pathlib import Path

from moneypath.capacity.figures import Figures
from moneypath.capacity.gate_file import load_gate
from moneypath.path.loader import FILE_NAME, load

PROJECT = Path(__file__).parents[2]
GATE_FILE = PROJECT / "loadtests" / "gate.yaml"
PROMISES = load_gate(GATE_FILE, load(PROJECT / FILE_NAME))[1]


def with_counted(figures: Figures, **changes: object) -> Figures:
    """Return the figures with some of what was counted changed."""
    return replace(figures, counted=replace(figures.counted, **changes))  # type: ignore[arg-type]
