"""Renders metrics as Prometheus text 0.0.4 and OpenMetrics 1.0.

Lines are filled in from templates, many lines with one operation. Text is reused as long as its numbers do
not change between scrapes.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec
from moneypath.telemetry.exposition.exemplars import suffix
from moneypath.telemetry.exposition.samples import DataPoint, Exemplar, Exemplars, LabelValues, MetricSamples

# Lines that are rendered together when one of them changes. Large blocks render faster, small ones change
# less often.
LINES_PER_BLOCK = 32


class MetricRenderer:
    """Renders one metric in both formats.

    Scrapes may run concurrently: cached values are always replaced, never changed in place.
    """

    __slots__ = ("_blocks", "_children", "_header", "_openmetrics_header", "_spec", "_templates")

    def __init__(self, spec: MetricSpec) -> None:
        self._spec = spec
        help_text = _escape(spec.help)
        self._header = f"# HELP {spec.name} {help_text}\n# TYPE {spec.name} {spec.kind}\n"
        quoted = help_text.replace('"', '\\"')
        unit = f"# UNIT {spec.family} {spec.unit}\n" if spec.unit else ""
        self._openmetrics_header = f"# HELP {spec.family} {quoted}\n# TYPE {spec.family} {spec.kind}\n{unit}"
        # For a counter or gauge: its label combinations, and their lines in blocks.
        self._blocks: tuple[list[LabelValues], list[_Block]] = ([], [])
        # For a histogram: the template for the lines of each combination, then its last data point with the
        # rendered text.
        self._templates: dict[LabelValues, str] = {}
        self._children: dict[LabelValues, tuple[DataPoint, str]] = {}

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
        children = self._children
        for key, point in histograms.items():
            known = children.get(key)
            if known is None or known[0] != point:
                template = self._templates.get(key) or self._remember(key)
                counts = [*accumulate(point[1:])]
                known = children[key] = (point, template % (*counts, counts[-1], point[0]))
            if key in exemplars:
                # The first number of the data point is the sum, so a bucket's line is one less than its
                # index.
                yield _add_exemplars(
                    known[1], {value - 1: exemplar for value, exemplar in exemplars[key].items()}
                )
            else:
                yield known[1]

    def _line(self, key: LabelValues) -> str:
        return _sample(self._spec.name, self._pairs(key), "%s")

    def _remember(self, key: LabelValues) -> str:
        name, pairs = self._spec.name, self._pairs(key)
        edges = [*map(repr, map(float, self._spec.buckets)), "+Inf"]
        # Counts are whole numbers: formatting an integer is faster than finding the shortest float.
        lines = [_sample(f"{name}_bucket", [*pairs, f'le="{edge}"'], "%d.0") for edge in edges]
        lines += [_sample(f"{name}_count", pairs, "%d.0"), _sample(f"{name}_sum", pairs, "%s")]
        template = self._templates[key] = "".join(lines)
        return template

    def _pairs(self, key: LabelValues) -> list[str]:
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


def _add_exemplars(text: str, exemplars: Mapping[int, Exemplar]) -> str:
    lines = text.split("\n")
    for line, exemplar in exemplars.items():
        lines[line] += suffix(exemplar)
    return "\n".join(lines)


def _sample(name: str, pairs: Sequence[str], value: str) -> str:
    labels = f"{{{','.join(pairs)}}}" if pairs else ""
    # A % in a label value must not be taken for part of the template.
    return f"{name}{labels} ".replace("%", "%%") + f"{value}\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_value(text: str) -> str:
    return _escape(text).replace('"', '\\"')
