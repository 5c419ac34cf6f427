"""A sink that keeps spans in memory, and a tracer that exports to it."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.tracing import Tracer
from moneypath.telemetry.tracing.redacted_span import RedactedSpan


class KeepingSink:
    """Keeps spans in memory. `allowed` can block an export, as a dead collector does."""

    def __init__(self) -> None:
        self.spans: list[RedactedSpan] = []
        self.batches: list[int] = []
        self.allowed = threading.Event()
        self.allowed.set()
        self.entered = threading.Event()
        self.opened = self.closed = 0

    def open(self) -> None:
        """Count the call."""
        self.opened += 1

    def export(self, spans: Sequence[RedactedSpan]) -> bool:
        """Keep the spans as soon as `allowed` is set."""
        self.entered.set()
        self.allowed.wait()
        self.batches.append(len(spans))
        self.spans += spans
        return True

    def close(self) -> None:
        """Count the call."""
        self.closed += 1


class Traced:
    """A tracer, its sink, and its drops."""

    def __init__(self, tracer: Tracer, sink: KeepingSink) -> None:
        self.tracer = tracer
        self.sink = sink
        self.drops: list[DropReason] = []

    def spans(self) -> list[RedactedSpan]:
        """Close the tracer and return the exported spans, in the order in which they ended."""
        assert self.tracer.close()
        return self.sink.spans

    def span(self, name: str) -> RedactedSpan:
        """Close the tracer and return the only span with that name."""
        (found,) = [span for span in self.spans() if span.name == name]
        return found


MakeTraced = Callable[..., Traced]


@pytest.fixture
def make_traced() -> Iterator[MakeTraced]:
    """Return a function that starts a tracer; all are stopped at the end."""
    made: list[Traced] = []

    def make(*, is_started: bool = True, **settings: object) -> Traced:
        sink = KeepingSink()
        made.append(Traced(Tracer(sink, **settings), sink))  # type: ignore[arg-type]
        if is_started:
            made[-1].tracer.start(made[-1].drops.append)
        return made[-1]

    yield make
    for traced in made:
        traced.sink.allowed.set()
        traced.tracer.close()
