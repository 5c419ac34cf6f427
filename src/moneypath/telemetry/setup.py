"""The one call that turns a catalogue into a recorder."""

import re
from collections.abc import Callable, Iterable
from time import perf_counter

from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.metric import is_sensitive
from moneypath.telemetry.errors import MetricUnknown, TelemetryError
from moneypath.telemetry.recording.locked import is_gil_enabled
from moneypath.telemetry.recording.recorder import OWN_METRICS, Recorder

__all__ = ["Recorder", "setup"]

_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,62}")


def setup(
    catalogue: Catalogue,
    *,
    service: str,
    metrics: Iterable[str] | None = None,
    clock: Callable[[], float] = perf_counter,
) -> Recorder:
    """Make the recorder of one process.

    `metrics` names what this service records (None: everything), so that no process exposes
    zeros for what another one counts; what the instrumentation costs is always recorded. `clock`
    gives monotonic seconds. Raises MetricUnknown for a name that the catalogue lacks.
    """
    if not _SERVICE.fullmatch(service) or is_sensitive(service):
        raise TelemetryError(
            f"service {service!r}: not a service name",
            hint="lower case letters, digits and dashes, a letter first, at most 63 characters",
        )
    names = set(catalogue.metrics if metrics is None else metrics)
    for name in sorted(names):
        if name not in catalogue:
            raise MetricUnknown(
                f"metric {name}: not in the catalogue, asked for by service {service}",
                hint=f"declared: {', '.join(catalogue.metrics)}",
            )
    own = {name for name in OWN_METRICS if name in catalogue}
    locked = not is_gil_enabled()
    return Recorder(catalogue, service=service, metrics=names | own, clock=clock, locked=locked)
