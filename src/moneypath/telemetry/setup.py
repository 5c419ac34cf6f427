"""The one call that turns a catalogue into a recorder."""

import re
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from time import perf_counter

from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.metric import is_sensitive
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.errors import MetricUnknown, TelemetryError
from moneypath.telemetry.recording.locked import is_gil_enabled
from moneypath.telemetry.recording.recorder import OWN_METRICS, Recorder
from moneypath.telemetry.recording.store import CellStore
from moneypath.telemetry.recording.traced import TracedRecorder
from moneypath.telemetry.tracing.tracer import SILENT, Tracer

if sys.platform != "win32":
    # It rests on locks and forks, which exist elsewhere only.
    from moneypath.telemetry.recording.shared.joining import Joining, follow_forks

__all__ = ["Recorder", "setup"]

_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,62}")


def setup(
    catalogue: Catalogue | None = None,
    *,
    service: str,
    providers: Iterable[str] = (),
    currencies: Iterable[str] = (),
    queues: Iterable[str] = (),
    metrics: Iterable[str] | None = None,
    clock: Callable[[], float] = perf_counter,
    tracer: Tracer = SILENT,
    shared: Path | bool | None = None,
) -> Recorder:
    """Make the recorder of one process.

    A service without a `moneypath.yaml`, hence without a generated catalogue to load, names its `providers`
    and `currencies` instead, and `queues` of its own, and gets the catalogue of `Catalogue.start`.
    `metrics` names what this service records (None: everything), so that no process exposes
    zeros for what another one counts; what the instrumentation costs is always recorded. `clock`
    gives monotonic seconds. `tracer` begins to export, if it has where to; close it when the service ends.
    Raises MetricUnknown for a name that the catalogue lacks.

    One worker of several shares its numbers with the others, so that a scrape of any of them is one of
    all; a process on its own keeps them to itself. `shared` says so where that is not found out rightly:
    True, False, or the folder in which to share. Where sharing fails, that is logged and counted as
    dropped, and the worker counts for itself.
    """
    _refuse_other_kinds(catalogue, service, clock, shared)
    if catalogue is None:
        catalogue = Catalogue.start(providers=providers, currencies=currencies, queues=queues)
    elif providers or currencies or queues:
        raise TelemetryError(
            "setup: a catalogue and providers, currencies or queues",
            hint="the catalogue names them already; leave them out, or give them without a catalogue",
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
    kind = partial(
        Recorder if tracer is SILENT else TracedRecorder,
        catalogue,
        service=service,
        metrics=names | own,
        clock=clock,
        locked=locked,
        tracer=tracer,
    )
    if sys.platform == "win32":
        recorder = kind(store=CellStore())
    else:
        joining = Joining(catalogue, service, names | own, shared)
        recorder = kind(store=joining.start())
        for _ in range(joining.failures):
            recorder.count_drop(DropReason.NOT_SHARED)
        follow_forks(recorder, joining)
    tracer.start(recorder.count_drop)
    return recorder


def _refuse_other_kinds(catalogue: object, service: object, clock: object, shared: object) -> None:
    if not isinstance(service, str) or not _SERVICE.fullmatch(service) or is_sensitive(service):
        raise TelemetryError(
            f"service {service!r}: not a service name",
            hint="lower case letters, digits and dashes, a letter first, at most 63 characters",
        )
    if catalogue is not None and not isinstance(catalogue, Catalogue):
        raise TelemetryError(
            f"catalogue: a {type(catalogue).__name__} is none", hint="Catalogue.load(file) reads one"
        )
    if shared is not None and not isinstance(shared, bool | Path):
        # A text would be as true as any, and the folder that it names never used.
        raise TelemetryError(f"shared {shared!r}: not what it can be", hint="None, True, False or a Path")
    if not callable(clock):
        raise TelemetryError(f"clock {clock!r}: cannot be called", hint="as time.perf_counter")
