"""`setup`: the one call that turns a catalogue into a recorder."""

import re
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from time import perf_counter

from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.catalogue import SERIES_LIMIT
from moneypath.telemetry.catalogue.metric import is_sensitive
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.errors import MetricUnknown, TelemetryError
from moneypath.telemetry.recording.locked import is_gil_enabled
from moneypath.telemetry.recording.recorder import OWN_METRICS, Recorder
from moneypath.telemetry.recording.store import PointStore
from moneypath.telemetry.recording.traced import TracedRecorder
from moneypath.telemetry.tracing.tracer import NOOP_TRACER, Tracer

if sys.platform != "win32":
    # File locks and forks do not exist on Windows.
    from moneypath.telemetry.recording.multiprocess.store_selection import StoreSelector, switch_store_on_fork

__all__ = ["Recorder", "setup"]

_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,62}")


def setup(
    catalogue: Catalogue | None = None,
    *,
    service: str,
    providers: Iterable[str] = (),
    currencies: Iterable[str] = (),
    queues: Iterable[str] = (),
    operations: Iterable[str] = (),
    traffic: Iterable[str] = (),
    cohorts: Iterable[str] = (),
    series_limit: int | None = None,
    metrics: Iterable[str] | None = None,
    clock: Callable[[], float] = perf_counter,
    tracer: Tracer = NOOP_TRACER,
    shared: Path | bool | None = None,
) -> Recorder:
    """Make the recorder of one process.

    Without a `catalogue`, pass `providers` and `currencies`, and what else the service has: its
    `operations` (ours without them), and `queues`, `traffic` and `cohorts` besides ours. The recorder then
    uses the catalogue of `Catalogue.start`, of at most `series_limit` series: each operation, kind of traffic
    and cohort multiplies the series of the first scrape. `metrics` names
    the metrics that this service records (None: all of them), so that it exposes no zeros for what another
    process counts; the metrics about telemetry itself are always recorded. `clock` returns monotonic
    seconds. `tracer` starts to export if it has a sink; close it when the service ends. Raises
    CatalogueInvalid for what no catalogue can hold, and MetricUnknown for a name that is not in it.

    Worker processes of one service share their metrics, so that a scrape of any worker returns the sum. A
    single process shares nothing. Whether the process is a worker is detected; `shared` overrides it with
    True, False or the folder to share in. If sharing fails, the failure is logged and counted as a drop,
    and the worker exposes its own metrics only.
    """
    _check_types(catalogue, service, clock, shared)
    given = {
        "providers": providers,
        "currencies": currencies,
        "queues": queues,
        "operations": operations,
        "traffic": traffic,
        "cohorts": cohorts,
    }
    if catalogue is None:
        limit = SERIES_LIMIT if series_limit is None else series_limit
        catalogue = Catalogue.start(**given, series_limit=limit)
    elif any(given.values()) or series_limit is not None:
        also = [key for key, values in given.items() if values]
        raise TelemetryError(
            f"setup() got a catalogue and also {', '.join(also) or 'a series_limit'}.",
            hint="Leave them out, because the catalogue has them, or leave out the catalogue.",
        )
    names = set(catalogue.metrics if metrics is None else metrics)
    for name in sorted(names):
        if name not in catalogue:
            raise MetricUnknown(
                f"Metric {name}, which service {service} names, is not in the catalogue.",
                hint=f"Declared metrics: {', '.join(catalogue.metrics)}.",
            )
    own = {name for name in OWN_METRICS if name in catalogue}
    locked = not is_gil_enabled()
    kind = partial(
        Recorder if tracer is NOOP_TRACER else TracedRecorder,
        catalogue,
        service=service,
        metrics=names | own,
        clock=clock,
        locked=locked,
        tracer=tracer,
    )
    if sys.platform == "win32":
        recorder = kind(store=PointStore())
    else:
        selector = StoreSelector(catalogue, service, names | own, shared)
        recorder = kind(store=selector.start())
        for _ in range(selector.failures):
            recorder.count_drop(DropReason.NOT_SHARED)
        switch_store_on_fork(recorder, selector)
    tracer.start(recorder.count_drop)
    return recorder


def _check_types(catalogue: object, service: object, clock: object, shared: object) -> None:
    if not isinstance(service, str) or not _SERVICE.fullmatch(service) or is_sensitive(service):
        raise TelemetryError(
            f"{service!r} is not a service name.",
            hint="Use lower-case letters, digits and dashes, a letter first, at most 63 characters.",
        )
    if catalogue is not None and not isinstance(catalogue, Catalogue):
        raise TelemetryError(
            f"catalogue is a {type(catalogue).__name__}, not a Catalogue.",
            hint="Read one with Catalogue.load(file).",
        )
    if shared is not None and not isinstance(shared, bool | Path):
        # A string would count as True, and the folder that it names would never be used.
        raise TelemetryError(f"shared is {shared!r}.", hint="Give None, True, False or a Path.")
    if not callable(clock):
        raise TelemetryError(
            f"clock {clock!r} cannot be called.", hint="Give a function such as time.perf_counter."
        )
