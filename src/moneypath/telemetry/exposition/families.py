"""Writing metrics as Prometheus text 0.0.4 and OpenMetrics 1.0.

Lines are made from templates, many of them with one operation, and what says the same as at the last scrape
is handed out again as it was written then.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec
from moneypath.telemetry.exposition.exemplars import suffix
from moneypath.telemetry.exposition.samples import Cells, Exemplar, Exemplars, Key, MetricSamples

# Lines written anew when one of them changes: few templates fill fast, small ones often stay as they are.
LINES_PER_BLOCK = 32


class FamilyText:
    """Write one metric in both formats.

    Scrapes may run side by side: what is remembered is always replaced as a whole, never changed.
    """

    __slots__ = ("_blocks", "_children", "_header", "_openmetrics_header", "_spec", "_templates")

    def __init__(self, spec: MetricSpec) -> None:
        self._spec = spec
        help_text = _escape(spec.help)
        self._header = f"# HELP {spec.name} {help_text}\n# TYPE {spec.name} {spec.kind}\n"
        quoted = help_text.replace('"', '\\"')
        unit = f"# UNIT {spec.family} {spec.unit}\n" if spec.unit else ""
        self._openmetrics_header = f"# HELP {spec.family} {quoted}\n# TYPE {spec.family} {spec.kind}\n{unit}"
        # Of a counter or gauge: its combinations, and their lines in blocks.
        self._blocks: tuple[list[Key], list[_Block]] = ([], [])
        # Of a histogram: the template of a combination's lines, then its cells and what was written for them.
        self._templates: dict[Key, str] = {}
        self._children: dict[Key, tuple[Cells, str]] = {}

    def pieces(self, samples: MetricSamples, *, openmetrics: bool) -> Iterator[str]:
        """Yield the metric's text a few lines at a time, nothing for a metric without samples.

        Exemplars stand in OpenMetrics only; the older format has no place for them.
        """
        if samples.values or samples.cells:
            yield self._openmetrics_header if openmetrics else self._header
            exemplars = samples.exemplars if openmetrics else {}
            if self._spec.kind is MetricKind.HISTOGRAM:
                yield from self._histograms(samples.cells, exemplars)
            else:
                yield from self._values(samples.values, exemplars)

    def _values(self, values: Mapping[Key, float], exemplars: Mapping[Key, Exemplars]) -> Iterator[str]:
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
            yield _mark(text, marks[i]) if i in marks else text

    def _histograms(
        self, histograms: Mapping[Key, Cells], exemplars: Mapping[Key, Exemplars]
    ) -> Iterator[str]:
        children = self._children
        for key, cells in histograms.items():
            known = children.get(key)
            if known is None or known[0] != cells:
                template = self._templates.get(key) or self._remember(key)
                counts = [*accumulate(cells[1:])]
                known = children[key] = (cells, template % (*counts, counts[-1], cells[0]))
            if key in exemplars:
                # The cell of a bucket is one behind its line: the first cell is the sum.
                yield _mark(known[1], {cell - 1: exemplar for cell, exemplar in exemplars[key].items()})
            else:
                yield known[1]

    def _line(self, key: Key) -> str:
        return _sample(self._spec.name, self._pairs(key), "%s")

    def _remember(self, key: Key) -> str:
        name, pairs = self._spec.name, self._pairs(key)
        edges = [*map(repr, map(float, self._spec.buckets)), "+Inf"]
        # Counts are whole: to write one as an integer is quicker than to look for the shortest float.
        lines = [_sample(f"{name}_bucket", [*pairs, f'le="{edge}"'], "%d.0") for edge in edges]
        lines += [_sample(f"{name}_count", pairs, "%d.0"), _sample(f"{name}_sum", pairs, "%s")]
        template = self._templates[key] = "".join(lines)
        return template

    def _pairs(self, key: Key) -> list[str]:
        labels = self._spec.labels
        return [f'{label}="{_escape_value(value)}"' for label, value in zip(labels, key, strict=True)]


class _Block:
    """A few lines of a counter or gauge, and the numbers for which they were written last."""

    __slots__ = ("_template", "_written")

    def __init__(self, lines: list[str]) -> None:
        self._template = "".join(lines)
        self._written: tuple[list[float], str] = ([], "")

    def text(self, numbers: list[float]) -> str:
        """Return the lines with these numbers in them."""
        known, text = self._written
        if numbers != known:
            # An int is written digit by digit, a float so that it reads back exactly.
            text = self._template % tuple(numbers)
            self._written = (numbers, text)
        return text


def _mark(text: str, exemplars: Mapping[int, Exemplar]) -> str:
    lines = text.split("\n")
    for line, exemplar in exemplars.items():
        lines[line] += suffix(exemplar)
    return "\n".join(lines)


def _sample(name: str, pairs: Sequence[str], value: str) -> str:
    labels = f"{{{','.join(pairs)}}}" if pairs else ""
    # What a label says must not be read as part of the template.
    return f"{name}{labels} ".replace("%", "%%") + f"{value}\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_value(text: str) -> str:
    return _escape(text).replace('"', '\\"')
