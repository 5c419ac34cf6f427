"""How long to wait after the n-th failure."""

from typing import Final

_JITTER: Final = 0.5
_DOUBLINGS_MAXIMUM: Final = 30


def backoff_seconds(failures: int, *, base_seconds: float, cap_seconds: float, draw: float) -> float:
    """Return base x 2^(failures - 1), capped, then spread by +-50 % with `draw`, uniform in 0..1.

    Spread, so that what failed together does not come back together.
    """
    doublings = min(max(failures, 1) - 1, _DOUBLINGS_MAXIMUM)
    return float(min(cap_seconds, base_seconds * 2**doublings) * (1 - _JITTER + 2 * _JITTER * draw))
