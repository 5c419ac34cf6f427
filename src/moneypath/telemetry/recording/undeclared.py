"""Says once in the log what a service records and its catalogue does not declare."""

import logging
from collections.abc import Collection, Iterable
from typing import Final

from moneypath.telemetry.redaction import redact

# The first of so many places are told.
PLACES_LIMIT: Final = 50
VALUE_LENGTH: Final = 40
ALLOWED_SHOWN: Final = 12

_log = logging.getLogger("moneypath.telemetry")


class UndeclaredLog:
    """The places, each a metric and a label, whose first undeclared value was told."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def tell(self, metric: str, label: str, value: object, declared: Iterable[str]) -> None:
        """Log the first undeclared value of a place. Never raises.

        The value is redacted and shortened: it may be anything.
        """
        place = (metric, label)
        if place in self._told or len(self._told) >= PLACES_LIMIT:
            return
        self._told.add(place)
        try:
            allowed = list(declared)
            listed = ", ".join(allowed[:ALLOWED_SHOWN]) + (", ..." if len(allowed) > ALLOWED_SHOWN else "")
            shown = redact(str(value))[:VALUE_LENGTH]
            _log.warning(
                "%s: %s %r is not declared, so it is dropped, and so are all like it. Declared: %s.",
                metric,
                label,
                shown,
                listed or "none",
            )
        except Exception:  # noqa: BLE001 - a value that cannot be written must not reach a payment
            return


def is_among(value: object, declared: Collection[str]) -> bool:
    """Return whether a value is declared. Never raises: a caller's value may not even be hashable."""
    try:
        return value in declared
    except Exception:  # noqa: BLE001 - it is none of ours then
        return False
