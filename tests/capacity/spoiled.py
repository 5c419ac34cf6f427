"""Figures that are good but for what a test changes."""

from dataclasses import replace

from moneypath.capacity.figures import Figures

# The objective of the committed availability SLO.
OBJECTIVE = 0.999


def with_counted(figures: Figures, **changes: object) -> Figures:
    """Return the figures with some of what was counted changed."""
    return replace(figures, counted=replace(figures.counted, **changes))  # type: ignore[arg-type]
