"""An OpenMetrics scrape leads from a number to its trace, and to nothing else."""

import itertools
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.samples import Exemplar

from moneypath.telemetry import Catalogue, Recorder, correlation, setup
from moneypath.telemetry.recording import handles, payment_handles

# The parser ships without annotations of its own.
parse: Callable[[str], Iterable[Metric]] = openmetrics_parser.text_string_to_metric_families

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
SECONDS = "moneypath_payment_duration_seconds"
TOTAL = "moneypath_payments_total"
ATTEMPT_SECONDS = "moneypath_provider_request_duration_seconds"
ATTEMPT = {"provider": "north", "operation": "capture", "outcome": "failed"}
NOON = 1_795_348_800.0


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each exemplar one second later than the previous one, from noon on."""
    ticks = itertools.count(NOON)
    for module in (handles, payment_handles):
        monkeypatch.setattr(module, "time", lambda: next(ticks))


def traced(
    trace_id: str = TRACE_ID, *, sampled: bool = True, span_id: str = SPAN_ID
) -> AbstractContextManager[object]:
    """Return a block in which a trace is active."""
    return correlation.entered(
        correlation.Context("a-correlation-id", correlation.Trace(trace_id, span_id, sampled))
    )


def exemplars(recorder: Recorder) -> dict[tuple[str, str], Exemplar]:
    """Return the exemplars of a scrape by sample name and bucket edge."""
    found: dict[tuple[str, str], Exemplar] = {}
    for family in parse(recorder.render(openmetrics=True).decode()):
        for sample in family.samples:
            if sample.exemplar is not None:
                found[sample.name, sample.labels.get("le", "")] = sample.exemplar
    return found


def test_payment_in_a_sampled_trace_stands_at_its_bucket_and_its_count(recorder: Recorder) -> None:
    """A slow bucket leads to the trace of a slow payment."""
    with traced():
        recorder.begin("authorize").finish(0.3, "succeeded", "north")
    found = exemplars(recorder)
    assert {at: (dict(each.labels), each.value) for at, each in found.items()} == {
        (f"{SECONDS}_bucket", "0.5"): ({"trace_id": TRACE_ID, "span_id": SPAN_ID}, 0.3),
        (TOTAL, ""): ({"trace_id": TRACE_ID, "span_id": SPAN_ID}, 1.0),
    }
    assert {float(str(each.timestamp)) for each in found.values()} == {NOON}


def test_context_manager_and_observe_keep_exemplars_too(catalogue: Catalogue) -> None:
    """Whichever way a duration is recorded, it leads to its trace."""
    ticks = itertools.count(0.0, 3.0)
    recorder = setup(catalogue, service="api", clock=lambda: next(ticks))
    with traced():
        with recorder.payment("authorize") as payment:
            payment.finish("succeeded", "north")
        recorder.histogram(ATTEMPT_SECONDS).observe(11, **ATTEMPT)
    found = exemplars(recorder)
    assert found[f"{SECONDS}_bucket", "5.0"].value == 3.0
    assert found[f"{ATTEMPT_SECONDS}_bucket", "+Inf"].value == 11.0
    assert found[f"{ATTEMPT_SECONDS}_bucket", "+Inf"].labels["trace_id"] == TRACE_ID


def test_newest_exemplar_of_each_bucket_is_kept(recorder: Recorder) -> None:
    """One for each bucket over providers and traffic; the count has the last of its series."""
    first, second, third = (f"{number:032x}" for number in (1, 2, 3))
    with traced(first):
        recorder.begin("authorize").finish(0.3, "succeeded", "north")
    with traced(second):
        recorder.begin("authorize", traffic="canary").finish(0.4, "succeeded", "south")
    with traced(third):
        recorder.begin("authorize").finish(0.002, "succeeded", "north")
    found = exemplars(recorder)
    assert found[f"{SECONDS}_bucket", "0.5"].labels["trace_id"] == second
    assert found[f"{SECONDS}_bucket", "0.0025"].labels["trace_id"] == third
    kept = [
        line for line in recorder.render(openmetrics=True).decode().splitlines() if line.startswith(TOTAL)
    ]
    assert sum(third in line for line in kept) == 1
    assert not any(first in line for line in kept)


@pytest.mark.parametrize("openmetrics", [True, False])
def test_without_a_sampled_trace_there_is_no_exemplar(recorder: Recorder, openmetrics: bool) -> None:
    """Without context, without trace, or with one that is not sampled, there is nothing to link to."""
    recorder.begin("authorize").finish(0.3, "succeeded", "north")
    with correlation.entered(correlation.Context("a-correlation-id")):
        recorder.begin("authorize").finish(0.3, "succeeded", "north")
    with traced(sampled=False):
        recorder.begin("authorize").finish(0.3, "succeeded", "north")
        recorder.histogram(ATTEMPT_SECONDS).observe(0.3, **ATTEMPT)
    assert b" # {" not in recorder.render(openmetrics=openmetrics)


def test_older_text_format_has_no_exemplars(recorder: Recorder) -> None:
    """A scraper of Prometheus text would fail on them."""
    with traced():
        recorder.begin("authorize").finish(0.3, "succeeded", "north")
    plain = recorder.render()
    assert TRACE_ID.encode() not in plain
    assert TRACE_ID.encode() in recorder.render(openmetrics=True)
    # And the marked lines are not what the next scrape of the plain format is made of.
    assert TRACE_ID.encode() not in recorder.render()


def test_exemplar_is_short_and_its_ids_are_hexadecimal(recorder: Recorder) -> None:
    """OpenMetrics allows 128 characters of labels."""
    with traced():
        recorder.begin("authorize").finish(0.3, "succeeded", "north")
    lines = [line for line in recorder.render(openmetrics=True).decode().splitlines() if " # {" in line]
    assert len(lines) == 2
    for line in lines:
        labels = line.split(" # ")[1].split("}")[0]
        assert labels == f'{{trace_id="{TRACE_ID}",span_id="{SPAN_ID}"'
        assert len(labels) < 128


@pytest.mark.parametrize(
    ("trace_id", "span_id"),
    [
        ("4111111111111111" + "a" * 16, SPAN_ID),
        ("4111-1111-1111-1111", SPAN_ID),
        (TRACE_ID, "4111111111111111"),
        (TRACE_ID.upper(), SPAN_ID),
        (TRACE_ID, 'x"} 1 # {a="'),
        (TRACE_ID + "0", SPAN_ID),
        ("", ""),
    ],
)
def test_what_is_no_id_or_reads_as_a_card_number_is_not_shown(
    recorder: Recorder, trace_id: str, span_id: str
) -> None:
    """A trace id may come from a caller; the number is recorded anyway."""
    with traced(trace_id, span_id=span_id):
        recorder.begin("authorize").finish(0.3, "succeeded", "north")
    text = recorder.render(openmetrics=True)
    assert b" # {" not in text
    assert (
        b'moneypath_payment_duration_seconds_count{operation="authorize",outcome="succeeded"} 1.0\n' in text
    )


def test_dropped_payment_leaves_no_exemplar(recorder: Recorder) -> None:
    """A dropped payment is not counted, so it has no exemplar."""
    with traced():
        recorder.begin("authorize").finish(float("nan"), "succeeded", "north")
        recorder.begin("authorize").finish(0.3, "lost", "north")
        recorder.histogram(ATTEMPT_SECONDS).observe(-1, **ATTEMPT)
    assert b" # {" not in recorder.render(openmetrics=True)
