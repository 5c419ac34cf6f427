"""The criterion of the comparison with a baseline."""

from moneypath.capacity.figures import Figures
from moneypath.capacity.gate_file import DeclaredObjectives, Gate
from moneypath.capacity.observation import Observation
from moneypath.capacity.permutation import least_chance


def baseline(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    """Judge whether any measure is worse than the baseline's by more than what does not matter."""
    level, margin = float(gate.baseline.level), float(gate.baseline.worse_at_most_ratio)
    allowed = f"no measure over {margin:.0%} worse, at a level of {level:.2%} for all together"
    found = figures.comparison
    if found is None:
        return Observation(None, "no baseline was named", allowed)
    if found.unusable:
        return Observation(None, f"{found.baseline}: {found.unusable}", allowed, inconclusive=True)
    windows = min(len(found.build_windows), len(found.baseline_windows))
    if windows == 0 or not found.differences:
        return Observation(False, f"{found.baseline}: no window could be compared", allowed)
    if least_chance(windows) > level:
        words = f"{found.baseline}: {windows} windows of each are too few for any verdict"
        return Observation(None, words, allowed, inconclusive=True)
    worse = [each for each in found.differences if each.chance <= level]
    details = tuple(
        f"{each.measure} {each.ratio - 1:+.1%}, by chance {each.chance:.2%}" for each in found.differences
    )
    if not worse and not found.sighted:
        words = f"{found.baseline}: the windows are too noisy to show {float(gate.baseline.found_ratio):.0%}"
        return Observation(None, words, allowed, details, inconclusive=True)
    names = ", ".join(f"{each.measure} {each.ratio - 1:+.1%}" for each in worse)
    seen = f"{found.baseline}: {names or 'not worse'}, {windows} windows of each"
    return Observation(not worse, seen, allowed, details)
