"""The trace id, or the service that began the trace, decides on sampling before a span is made."""

import contextvars
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace._sampling_experimental import composable_traceid_ratio_based
from tests.telemetry.tracing.conftest import MakeTraced

from moneypath.telemetry import correlation
from moneypath.telemetry.correlation import Context, Trace, trace
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.tracing import NOOP_TRACER, Span, SpanKind, Tracer, current_span

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@given(st.floats(min_value=2**-50, max_value=1))
def test_the_same_traces_are_sampled_as_by_the_consistent_sampler(ratio: float) -> None:
    """Services that use OpenTelemetry's rule and ours sample the same traces."""
    intent = composable_traceid_ratio_based(ratio).sampling_intent(None, "", None, None, None, None)
    assert Tracer(ratio=ratio).threshold == intent.threshold


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 1.0])
def test_a_root_is_sampled_by_the_low_bits_of_its_trace_id(ratio: float) -> None:
    """By nothing else, and about as often as the ratio says."""
    tracer = Tracer(ratio=ratio)
    sampled = 0
    for _ in range(2000):
        with tracer.span("root") as span:
            low = int(span.trace.trace_id, 16) & ((1 << 56) - 1)
            assert span.sampled == (low >= (1 - ratio) * 2**56)
            assert span.trace.sampled == span.sampled
            sampled += span.sampled
    # Six standard deviations.
    assert abs(sampled - 2000 * ratio) <= 6 * (2000 * ratio * (1 - ratio)) ** 0.5


@pytest.mark.parametrize(("flags", "ratio", "sampled"), [("01", 0.0, True), ("00", 1.0, False)])
def test_a_callers_decision_is_honoured(flags: str, ratio: float, sampled: bool) -> None:
    """Otherwise traces would be incomplete; for every entry point, down to the grandchild."""
    tracer = Tracer(ratio=ratio)
    header = f"00-{TRACE}-{SPAN}-{flags}"
    carried = correlation.extract({"traceparent": header})
    with correlation.entered(carried), tracer.span("under the active") as span, tracer.span("below") as below:
        assert (span.sampled, below.sampled) == (sampled, sampled)
        assert below.trace.trace_id == TRACE
    with tracer.span("under what is given", parent=carried) as span:
        assert span.sampled is sampled
    started_at = tracer.begin("from the header", SpanKind.SERVER, "0000-request", header)
    try:
        assert started_at.sampled is sampled
        assert started_at.trace.trace_id == TRACE
        assert started_at.trace.header.endswith(flags)
    finally:
        started_at.end()
    assert correlation.active() is None


@pytest.mark.parametrize(
    "header", [None, "", "00-zz", f"00-{'0' * 32}-{SPAN}-03", f"00-{TRACE}-{SPAN}-01-more"]
)
def test_a_malformed_header_begins_a_new_trace(header: str | None) -> None:
    """A header that cannot be parsed decides nothing."""
    span = Tracer(ratio=0).begin("request", SpanKind.SERVER, "0000-request", header)
    try:
        assert not span.sampled
        assert span.trace.trace_id != TRACE
        assert span.correlation_id == "0000-request"
    finally:
        span.end()


@pytest.mark.parametrize(
    "header",
    [
        f"00-{'z' * 32}-{SPAN}-00",
        f"00-{'z' * 32}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-00",
        f"00-{TRACE.upper()}-{SPAN}-00",
        f"ff-{TRACE}-{SPAN}-00",
        "\n" * 52 + "-01",
    ],
)
def test_what_only_looks_like_a_parent_is_none(make_traced: MakeTraced, header: str) -> None:
    """Its flag is trusted unparsed; once somebody asks for ids, the span begins a trace."""
    traced = make_traced(ratio=1.0)
    tracer = traced.tracer
    request = tracer.begin("request", SpanKind.SERVER, "0000-request", header)
    assert request.sampled is header.endswith("1")
    with tracer.span("below") as below:
        below.end_with("failed")
        carried: dict[str, str] = {}
        correlation.inject(carried)
    request.end_with("failed")
    request.end()
    spans = {span.name: span for span in traced.spans()}
    assert spans["request"].parent is None
    assert spans["below"].parent == spans["request"].trace
    assert spans["below"].trace.trace_id == spans["request"].trace.trace_id
    assert carried["traceparent"] == spans["below"].trace.header
    assert trace.parse(carried["traceparent"]) == spans["below"].trace
    assert not set(spans["request"].trace.trace_id) & set("zZ")


def test_a_header_that_was_not_read_at_once_is_read_rightly(make_traced: MakeTraced) -> None:
    """The positive twin, also with a tracestate."""
    traced = make_traced(ratio=1.0)
    for name, state in (("plain", None), ("with state", "vendor=1")):
        span = traced.tracer.begin(name, SpanKind.SERVER, "0000-request", f"00-{TRACE}-{SPAN}-00", state)
        span.end_with("indeterminate")
        span.end()
    for exported in traced.spans():
        assert exported.parent is not None
        assert (exported.parent.trace_id, exported.parent.span_id) == (TRACE, SPAN)
        assert (exported.trace.trace_id, exported.trace.sampled) == (TRACE, False)
    assert [span.trace.state for span in traced.spans()] == ["", "vendor=1"]


def ask(span: Span) -> str:
    """Return the ids of a span as they are injected into a call."""
    return span.trace.header


def test_all_who_ask_at_once_get_one_id() -> None:
    """Ids are drawn when first needed, by any number of threads."""
    tracer = Tracer(ratio=0)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(200):
                span = tracer.begin("request", SpanKind.SERVER, "0000-request", f"00-{TRACE}-{SPAN}-00")
                asked = [pool.submit(ask, span) for _ in range(4)]
                span.end()
                assert len({answer.result() for answer in asked}) == 1
    finally:
        sys.setswitchinterval(before)


def test_later_versions_flags_and_state_are_read_off_the_usual_way() -> None:
    """The fast path for the usual header must not change the meaning of an unusual one."""
    tracer = Tracer(ratio=0)
    for header, sampled in ((f"00-{TRACE}-{SPAN}-03", True), (f"cc-{TRACE}-{SPAN}-00-more", False)):
        span = tracer.begin("request", SpanKind.SERVER, "0000-request", header, "vendor=1")
        try:
            assert (span.trace.trace_id, span.sampled, span.trace.state) == (TRACE, sampled, "vendor=1")
        finally:
            span.end()


def test_ids_tell_parent_from_child(make_traced: MakeTraced) -> None:
    """One trace id, a span id for each, and each names its parent."""
    traced = make_traced(ratio=1.0)
    carried = Context("0000-request", Trace(TRACE, SPAN, sampled=True, state="vendor=1"))
    with traced.tracer.span("server", SpanKind.SERVER, parent=carried):
        with traced.tracer.span("first"), traced.tracer.span("deep"):
            pass
        with traced.tracer.span("second"):
            pass
    with traced.tracer.span("alone"), traced.tracer.span("below"):
        pass
    spans = {span.name: span for span in traced.spans()}
    parents = {name: span.parent and span.parent.span_id for name, span in spans.items()}
    own = {name: span.trace.span_id for name, span in spans.items()}
    assert parents == {
        "server": SPAN,
        "first": own["server"],
        "deep": own["first"],
        "second": own["server"],
        "alone": None,
        "below": own["alone"],
    }
    assert len(set(own.values())) == len(own)
    assert {spans[name].trace.trace_id for name in ("server", "first", "deep", "second")} == {TRACE}
    assert spans["alone"].trace.trace_id == spans["below"].trace.trace_id != TRACE
    assert spans["deep"].trace.state == "vendor=1"
    assert [spans[name].is_parent_remote for name in ("server", "first", "alone")] == [True, False, False]


def test_the_active_span_is_what_is_injected(make_traced: MakeTraced) -> None:
    """The next service gets our span as its parent."""
    traced = make_traced(ratio=1.0)
    carried: dict[str, str] = {}
    with correlation.entered(Context("0000-request")), traced.tracer.span("call", SpanKind.CLIENT) as span:
        correlation.inject(carried)
        assert carried == {"x-correlation-id": "0000-request", "traceparent": span.trace.header}
        assert current_span() is span
        assert correlation.sampled_trace() == span.trace
    assert correlation.sampled_trace() is None
    assert traced.span("call").trace.header == carried["traceparent"]


def test_without_a_request_the_trace_is_the_correlation_id() -> None:
    """A worker's own round has lines to tie together too."""
    with Tracer(ratio=0).span("round") as span, Tracer(ratio=0).span("below") as below:
        assert correlation.current() == span.trace.trace_id == below.correlation_id


def test_the_silent_tracer_passes_a_callers_context_on_unchanged() -> None:
    """A service without tracing is no hole in a trace: its callee's parent is its caller."""
    trace = Trace(TRACE, SPAN, sampled=True)
    context = Context("0000-request", trace)
    with NOOP_TRACER.span("anything", parent=context) as span:
        span.set("name", 1)
        span.end_with("failed", status_code=500)
        assert correlation.active() == context
        with NOOP_TRACER.span("inside"):
            assert correlation.active() == context
    span = NOOP_TRACER.begin("anything", SpanKind.SERVER, "0000-request", trace.header)
    assert correlation.active() == context
    span.end()
    assert correlation.active() is None
    assert current_span().sampled is False


@pytest.mark.parametrize("header", [f"00-{'z' * 32}-{SPAN}-01", f"00-{TRACE}-4111111111111111-01", None])
def test_the_silent_tracer_passes_no_malformed_header_on(header: str | None) -> None:
    """It is read when somebody asks; what is no header then, or reads as a card number, goes nowhere."""
    span = NOOP_TRACER.begin("anything", SpanKind.SERVER, "0000-request", header)
    try:
        carried: dict[str, str] = {}
        correlation.inject(carried)
        assert carried == {"x-correlation-id": "0000-request"}
        assert correlation.sampled_trace() is None
        assert correlation.active() == Context("0000-request")
        with Tracer(ratio=0).span("below") as below:
            assert below.correlation_id == "0000-request"
            assert below.trace.trace_id != TRACE
    finally:
        span.end()
    assert correlation.active() is None


def test_a_request_under_the_silent_tracer_learns_its_payment() -> None:
    """For its own lines and tasks; the one span that stands for no request learns nothing."""
    span = NOOP_TRACER.begin("anything", SpanKind.SERVER, "0000-request", f"00-{TRACE}-{SPAN}-00")
    contextvars.copy_context().run(correlation.name_payment, "p-1")
    try:
        active = correlation.active()
        assert active is not None
        assert active.payment_id == "p-1"
        assert current_span() is span
    finally:
        span.end()
    current_span().name_payment("p-2")
    assert current_span().payment_id is None


@pytest.mark.parametrize(
    "settings",
    [{"ratio": -0.1}, {"ratio": 1.1}, {"ratio": float("nan")}, {"slow_seconds": 0}, {"queue_limit": 0}],
)
def test_invalid_settings_are_refused(settings: dict[str, float]) -> None:
    """When the service starts, not when it fails."""
    with pytest.raises(TelemetryError, match=next(iter(settings))):
        Tracer(**settings)  # type: ignore[arg-type]
