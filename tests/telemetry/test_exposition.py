"""The parsers of prometheus_client read both expositions as exactly what was recorded."""

import math
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from moneypath.telemetry import Catalogue, MetricKind, MetricSpec, Recorder, Unit, setup
from moneypath.telemetry.exposition.text import OPENMETRICS, TEXT, negotiate
from moneypath.telemetry.recording import recorder as recording_recorder

# The parser ships without annotations of its own.
parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics_parser.text_string_to_metric_families
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(families: Iterable[Metric]) -> Samples:
    """Return all samples by name and labels, and assert that each occurs once."""
    found: Samples = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def filled(recorder: Recorder) -> Recorder:
    """Record in each kind of metric."""
    for spec in small_catalogue():
        if spec.name in recorder.metrics and spec.kind is MetricKind.GAUGE:
            recorder.gauge(spec.name).set(1, provider="north")
    recorder.gauge("moneypath_indeterminate_oldest_timestamp_seconds").set(1795328602.123, provider="north")
    recorder.gauge("moneypath_ledger_imbalance_minor_units").set(0, currency="JPY")
    attempt = {"provider": "south", "operation": "query", "outcome": "indeterminate"}
    recorder.histogram("moneypath_provider_request_duration_seconds").observe(0.0425, **attempt)
    recorder.counter("moneypath_provider_attempts_total").inc(1, **attempt)
    with recorder.payment("authorize") as payment:
        payment.finish("succeeded", "north")
    return recorder


def small_catalogue(help_text: str = "Help.", value: str = "a") -> Catalogue:
    """Return one metric of each kind, with a label value to vary."""
    labels = {"kind": (value, "plain")}
    return Catalogue.of(
        [
            MetricSpec("moneypath_a_total", MetricKind.COUNTER, help_text, Unit.NONE, labels, (), 2, True),
            MetricSpec(
                "moneypath_b_minor_units", MetricKind.GAUGE, help_text, Unit.MINOR_UNITS, labels, (), 2
            ),
            MetricSpec(
                "moneypath_c_seconds",
                MetricKind.HISTOGRAM,
                help_text,
                Unit.SECONDS,
                labels,
                (0.1, 1.0),
                10,
                True,
            ),
        ]
    )


def test_both_formats_hold_the_same_samples(recorder: Recorder) -> None:
    """The format changes no name, label or value."""
    filled(recorder)
    text = samples(parse_text(recorder.render().decode()))
    openmetrics = samples(parse_openmetrics(recorder.render(openmetrics=True).decode()))
    for unit in ("seconds", "bytes"):
        cost = (f"moneypath_telemetry_render_{unit}_total", frozenset[tuple[str, str]]())
        assert openmetrics.pop(cost) > text.pop(cost) >= 0
    assert text == openmetrics
    assert len(text) > 1500


def test_types_units_and_help_are_the_catalogues(recorder: Recorder, catalogue: Catalogue) -> None:
    """A scraper learns each metric's kind, unit and meaning as declared."""
    filled(recorder)
    families = {found.name: found for found in parse_openmetrics(recorder.render(openmetrics=True).decode())}
    for spec in catalogue:
        if spec.family in families:
            family = families[spec.family]
            assert (family.type, family.unit, family.documentation) == (spec.kind, spec.unit, spec.help)
    assert families["moneypath_payments"].type == "counter"
    kinds = {found.name: found.type for found in parse_text(recorder.render().decode())}
    assert kinds["moneypath_payments"] == "counter"
    assert b"# TYPE moneypath_payments_total counter\n" in recorder.render()


def test_only_openmetrics_ends_in_eof(recorder: Recorder) -> None:
    """The end mark belongs to one format and is its last line."""
    assert recorder.render(openmetrics=True).endswith(b"\n# EOF\n")
    assert b"EOF" not in recorder.render()


def test_metric_without_samples_is_absent(recorder: Recorder) -> None:
    """A gauge that was never set has no line, not even its type."""
    assert b"routing_active" not in recorder.render()
    recorder.gauge("moneypath_provider_routing_active").set(1, provider="north")
    assert b"# TYPE moneypath_provider_routing_active gauge\n" in recorder.render()
    recorder.gauge("moneypath_provider_routing_active").clear(provider="north")
    assert b"routing_active" not in recorder.render()


def test_histogram_shows_the_same_until_it_changes(recorder: Recorder) -> None:
    """A text that was kept never shows an old count."""
    attempt = {"provider": "south", "operation": "query", "outcome": "failed"}
    histogram = recorder.histogram("moneypath_provider_request_duration_seconds")
    for count in (1, 2, 3):
        histogram.observe(0.5, **attempt)
        for _ in range(2):
            found = samples(parse_text(recorder.render().decode()))
            key = ("moneypath_provider_request_duration_seconds_count", frozenset(attempt.items()))
            assert found[key] == count


def test_steps_make_the_same_text(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape in steps has the numbers of its first step, and counts itself once."""
    filled(recorder)
    attempts = recorder.counter("moneypath_provider_attempts_total")
    attempt = {"provider": "south", "operation": "query", "outcome": "indeterminate"}
    whole = samples(parse_openmetrics(recorder.render(openmetrics=True).decode()))
    monkeypatch.setattr(recording_recorder, "STEP_SECONDS", 0.0)
    steps = []
    for step in recorder.render_in_steps(openmetrics=True):
        steps.append(step)
        attempts.inc(1, **attempt)
    assert len(steps) > 100
    stepped = samples(parse_openmetrics(b"".join(steps).decode()))
    size = stepped["moneypath_telemetry_render_bytes_total", frozenset()]
    for unit in ("seconds", "bytes"):
        cost = (f"moneypath_telemetry_render_{unit}_total", frozenset[tuple[str, str]]())
        assert stepped.pop(cost) > whole.pop(cost)
    assert stepped == whole
    after = samples(parse_text(recorder.render().decode()))
    assert after["moneypath_telemetry_render_bytes_total", frozenset()] == size + sum(map(len, steps))
    assert after["moneypath_provider_attempts_total", frozenset(attempt.items())] == 1 + len(steps)


def test_what_a_scrape_costs_leaves_out_what_others_did_meanwhile(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of all steps counts, and none of the time between them."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    monkeypatch.setattr(recording_recorder, "STEP_SECONDS", 2.0)
    monkeypatch.setattr(recording_recorder, "perf_counter", clock)
    steps = 0
    for _ in recorder.render_in_steps():
        steps += 1
        now += 1_000_000.0
    text = recorder.render().decode()
    (line,) = (
        line for line in text.splitlines() if line.startswith("moneypath_telemetry_render_seconds_total")
    )
    assert steps > 10
    assert 2 * steps <= float(line.split()[-1]) < 1_000_000.0


def test_lines_of_a_gauge_follow_what_is_set_and_cleared(recorder: Recorder) -> None:
    """Cached lines never show another combination's number."""
    gauge = recorder.gauge("moneypath_provider_routing_active")

    def shown() -> dict[str, float]:
        found = samples(parse_text(recorder.render().decode()))
        return {dict(key[1])["provider"]: value for key, value in found.items() if key[0] == gauge.spec.name}

    gauge.set(1, provider="south")
    assert shown() == {"south": 1}
    gauge.set(0, provider="north")
    assert shown() == {"south": 1, "north": 0}
    gauge.clear(provider="south")
    assert shown() == {"north": 0}
    gauge.set(1, provider="south")
    gauge.clear(provider="north")
    assert shown() == {"south": 1}


def test_scrapes_side_by_side_do_not_mix(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Concurrent scrapes share the cache; each has the numbers of its own first step."""
    filled(recorder)
    monkeypatch.setattr(recording_recorder, "STEP_SECONDS", 0.0)
    first = recorder.render_in_steps()
    started_at = [next(first)]
    with recorder.payment("authorize") as payment:
        payment.finish("succeeded", "north")
    recorder.gauge("moneypath_duplicate_charges").set(3)
    # Set before: a combination more moves the lines of the gauge.
    recorder.gauge("moneypath_provider_routing_active").set(1, provider="north")
    second = samples(parse_text(recorder.render().decode()))
    whole = samples(parse_text(b"".join([*started_at, *first]).decode()))
    labels = frozenset({"operation": "authorize", "outcome": "succeeded"}.items())
    count = ("moneypath_payment_duration_seconds_count", labels)
    assert (whole[count], second[count]) == (1, 2)
    assert ("moneypath_duplicate_charges", frozenset[tuple[str, str]]()) not in whole
    assert second["moneypath_duplicate_charges", frozenset()] == 3


def test_percent_sign_in_a_label_stays_one() -> None:
    """A label value is never taken for a placeholder."""
    recorder = setup(small_catalogue("100 %s", "%s%%d"), service="api")
    recorder.counter("moneypath_a_total").inc(2, kind="%s%%d")
    recorder.histogram("moneypath_c_seconds").observe(0.5, kind="%s%%d")
    found = samples(parse_text(recorder.render().decode()))
    assert found["moneypath_a_total", frozenset({("kind", "%s%%d")})] == 2
    assert found["moneypath_c_seconds_count", frozenset({("kind", "%s%%d")})] == 1


# What MetricSpec admits as a value: anything printable.
printable = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20).filter(
    str.isprintable
)
awkward = st.sampled_from(['"', "\\", '\\"', "a\\nb", "{}", 'x="y",', "# EOF", "ü€"])


@given(value=printable | awkward, help_text=printable | awkward, amount=st.floats(0, 1e15))
def test_any_label_help_and_number_read_back(value: str, help_text: str, amount: float) -> None:
    """Escaping and number formatting are right for anything that a catalogue may declare."""
    if value == "plain":
        return
    recorder = setup(small_catalogue(help_text, value), service="api")
    recorder.counter("moneypath_a_total").inc(amount, kind=value)
    recorder.gauge("moneypath_b_minor_units").set(-amount, kind=value)
    recorder.histogram("moneypath_c_seconds").observe(amount, kind=value)
    labels = frozenset({("kind", value)})
    for parse, content in (
        (parse_text, recorder.render()),
        (parse_openmetrics, recorder.render(openmetrics=True)),
    ):
        families = list(parse(content.decode()))
        found = samples(families)
        assert found["moneypath_a_total", labels] == amount
        assert found["moneypath_b_minor_units", labels] == -amount
        assert found["moneypath_c_seconds_sum", labels] == amount
        assert found["moneypath_c_seconds_count", labels] == 1
        assert found["moneypath_c_seconds_bucket", labels | {("le", "+Inf")}] == 1
        assert found["moneypath_c_seconds_bucket", labels | {("le", "1.0")}] == (amount <= 1.0)
        assert {family.documentation for family in families} == {help_text}
        assert not any(math.isnan(number) for number in found.values())


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        # What Prometheus 2.42 and 3 send.
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "text/plain;version=1.0.0;q=0.4,*/*;q=0.3",
        "text/plain;q=0.5, APPLICATION/OPENMETRICS-TEXT;Q=0.5",
    ],
)
def test_openmetrics_is_chosen_when_preferred(accept: str) -> None:
    """A scraper that prefers OpenMetrics gets it."""
    assert negotiate(accept) is OPENMETRICS


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/html",
        "text/plain;version=0.0.4",
        "application/openmetrics-text;q=0.4,text/plain;q=0.5",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;q=nan",
        "application/openmetrics-text;q=x",
        "application/openmetrics-text;version=2.0.0",
        "application/openmetrics-text-like",
        ";;;,,,=;q",
        "x" * 2000 + ",application/openmetrics-text",
    ],
)
def test_text_is_chosen_otherwise(accept: str) -> None:
    """With any other header the text format is chosen."""
    assert negotiate(accept) is TEXT
