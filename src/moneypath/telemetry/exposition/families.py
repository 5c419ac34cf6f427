"""Renders metrics as Prometheus text 0.0.4 and OpenMetrics 1.0.

Lines are filled in from templates, many lines with one operation. A counter's or gauge's text is reused as
long as its numbers do not change between scrapes. A histogram keeps one template for all its label
combinations, because a template and a text for each would take several times the memory of its numbers.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec
from moneypath.telemetry.exposition.exemplars import suffix
from moneypath.telemetry.exposition.samples import DataPoint, Exemplar, Exemplars, LabelValues, MetricSamples

# Lines that are rendered together when one of them changes. Large blocks render faster, small ones change
# less often.
LINES_PER_BLOCK = 32
# Stands for the labels in text that is shared by all combinations. No name, edge or number contains it.
_LABELS = "\0"


class MetricRenderer:
    """Renders one metric in both formats.

    Scrapes may run concurrently: cached values are always replaced, never changed in place.
    """

    __slots__ = ("_blocks", "_header", "_openmetrics_header", "_pairs", "_spec", "_template", "_zero")

    def __init__(self, spec: MetricSpec) -> None:
        self._spec = spec
        help_text = _escape(spec.help)
        self._header = f"# HELP {spec.name} {help_text}\n# TYPE {spec.name} {spec.kind}\n"
        quoted = help_text.replace('"', '\\"')
        unit = f"# UNIT {spec.family} {spec.unit}\n" if spec.unit else ""
        self._openmetrics_header = f"# HELP {spec.family} {quoted}\n# TYPE {spec.family} {spec.kind}\n{unit}"
        # For a counter or gauge: its label combinations, and their lines in blocks.
        self._blocks: tuple[list[LabelValues], list[_Block]] = ([], [])
        # For a histogram: what all its label combinations share, and the written labels of each.
        self._template = _histogram_template(spec) if spec.kind is MetricKind.HISTOGRAM else ""
        # Most combinations never count anything.
        self._zero: DataPoint = [0.0] + [0] * (len(spec.buckets) + 1)
        self._pairs: dict[LabelValues, str] = {}

    def chunks(self, samples: MetricSamples, *, openmetrics: bool) -> Iterator[str]:
        """Yield the metric's text a few lines at a time; nothing for a metric without samples.

        Exemplars appear in OpenMetrics only; the older format has none.
        """
        if samples.values or samples.histograms:
            yield self._openmetrics_header if openmetrics else self._header
            exemplars = samples.exemplars if openmetrics else {}
            if self._spec.kind is MetricKind.HISTOGRAM:
                yield from self._histograms(samples.histograms, exemplars)
            else:
                yield from self._values(samples.values, exemplars)

    def _values(
        self, values: Mapping[LabelValues, float], exemplars: Mapping[LabelValues, Exemplars]
    ) -> Iterator[str]:
        keys = list(values)
        known, blocks = self._blocks
        if keys != known:
            starts = range(0, len(keys), LINES_PER_BLOCK)
            blocks = [_Block([self._line(key) for key in keys[i : i + LINES_PER_BLOCK]]) for i in starts]
            self._blocks = (keys, blocks)
        marks: dict[int, dict[int, Exemplar]] = {}
        if exemplars:
            for place, key in enumerate(keys):
                if key in exemplars:
                    number, line = divmod(place, LINES_PER_BLOCK)
                    marks.setdefault(number, {})[line] = exemplars[key][0]
        numbers = list(values.values())
        for i, block in enumerate(blocks):
            text = block.text(numbers[i * LINES_PER_BLOCK : (i + 1) * LINES_PER_BLOCK])
            yield _add_exemplars(text, marks[i]) if i in marks else text

    def _histograms(
        self, histograms: Mapping[LabelValues, DataPoint], exemplars: Mapping[LabelValues, Exemplars]
    ) -> Iterator[str]:
        template, zero = self._template, self._zero
        nothing = _filled(template, zero) if histograms else ""
        for key, point in histograms.items():
            labels = self._pairs.get(key)
            if labels is None:
                labels = self._pairs[key] = ",".join(self._written(key))
            text = (nothing if point == zero else _filled(template, point)).replace(_LABELS, labels)
            if key in exemplars:
                # The first number of the data point is the sum, so a bucket's line is one less than its
                # index.
                text = _add_exemplars(text, {value - 1: found for value, found in exemplars[key].items()})
            yield text

    def _line(self, key: LabelValues) -> str:
        # A % in a label value must not be taken for part of the template.
        return _sample(self._spec.name, self._written(key)).replace("%", "%%") + "%s\n"

    def _written(self, key: LabelValues) -> list[str]:
        labels = self._spec.labels
        return [f'{label}="{_escape_value(value)}"' for label, value in zip(labels, key, strict=True)]


class _Block:
    """A few lines of a counter or gauge, with the numbers for which they were last rendered."""

    __slots__ = ("_template", "_written")

    def __init__(self, lines: list[str]) -> None:
        self._template = "".join(lines)
        self._written: tuple[list[float], str] = ([], "")

    def text(self, numbers: list[float]) -> str:
        """Return the lines with these numbers."""
        known, text = self._written
        if numbers != known:
            # %s writes all digits of an int, and a float so that it reads back exactly.
            text = self._template % tuple(numbers)
            self._written = (numbers, text)
        return text


def _histogram_template(spec: MetricSpec) -> str:
    labels = [_LABELS] if spec.labels else []
    edges = [*map(repr, map(float, spec.buckets)), "+Inf"]
    # Counts are whole numbers: formatting an integer is faster than finding the shortest float.
    lines = [_sample(f"{spec.name}_bucket", [*labels, f'le="{edge}"']) + "%d.0\n" for edge in edges]
    lines += [_sample(f"{spec.name}_count", labels) + "%d.0\n", _sample(f"{spec.name}_sum", labels) + "%s\n"]
    return "".join(lines)


def _filled(template: str, point: DataPoint) -> str:
    counts = [*accumulate(point[1:])]
    return template % (*counts, counts[-1], point[0])


def _add_exemplars(text: str, exemplars: Mapping[int, Exemplar]) -> str:
    lines = text.split("\n")
    for line, exemplar in exemplars.items():
        lines[line] += suffix(exemplar)
    return "\n".join(lines)


def _sample(name: str, pairs: Sequence[str]) -> str:
    return f"{name}{{{','.join(pairs)}}} " if pairs else f"{name} "


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_value(text: str) -> str:
    return _escape(text).replace('"', '\\"')
