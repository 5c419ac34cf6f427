"""Writing metrics as Prometheus text 0.0.4 and OpenMetrics 1.0.

Lines are made from templates, many of them with one operation, and what says the same as at the last scrape
is handed out again as it was written then.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate

from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec
from moneypath.telemetry.exposition.exemplars import suffix
from moneypath.telemetry.exposition.samples import Cells, Exemplars, Key, MetricSamples

# Lines written anew when one of them changes: few templates fill fast, small ones often stay as they are.
LINES_PER_BLOCK = 32


class FamilyText:
    """Write one metric in both formats."""

    __slots__ = ("_blocks", "_children", "_header", "_keys", "_openmetrics_header", "_spec", "_templates")

    def __init__(self, spec: MetricSpec) -> None:
        self._spec = spec
        help_text = _escape(spec.help)
        self._header = f"# HELP {spec.name} {help_text}\n# TYPE {spec.name} {spec.kind}\n"
        quoted = help_text.replace('"', '\\"')
        unit = f"# UNIT {spec.family} {spec.unit}\n" if spec.unit else ""
        self._openmetrics_header = f"# HELP {spec.family} {quoted}\n# TYPE {spec.family} {spec.kind}\n{unit}"
        # Of a counter or gauge: the combinations, and blocks of their lines.
        self._keys: list[Key] = []
        self._blocks: list[_Block] = []
        # Of a histogram: the template of a combination's lines, then its cells and what was written for them.
        self._templates: dict[Key, str] = {}
        self._children: dict[Key, tuple[Cells, str]] = {}

    def write(self, samples: MetricSamples, *, openmetrics: bool) -> list[str]:
        """Return the metric's text in pieces, none for a metric without samples.

        Exemplars stand in OpenMetrics only; the older format has no place for them.
        """
        exemplars = samples.exemplars if openmetrics else {}
        if self._spec.kind is MetricKind.HISTOGRAM:
            pieces = self._histograms(samples.cells, exemplars)
        else:
            pieces = self._values(samples.values, exemplars)
        if pieces:
            pieces.insert(0, self._openmetrics_header if openmetrics else self._header)
        return pieces

    def _values(self, values: Mapping[Key, float], exemplars: Mapping[Key, Exemplars]) -> list[str]:
        keys = list(values)
        if keys != self._keys:
            self._keys = keys
            starts = range(0, len(keys), LINES_PER_BLOCK)
            self._blocks = [
                _Block([self._line(key) for key in keys[i : i + LINES_PER_BLOCK]]) for i in starts
            ]
        numbers = list(values.values())
        pieces = [
            block.text(numbers[i * LINES_PER_BLOCK : (i + 1) * LINES_PER_BLOCK])
            for i, block in enumerate(self._blocks)
        ]
        if exemplars:
            places = {key: place for place, key in enumerate(keys) if key in exemplars}
            for key, place in places.items():
                block, line = divmod(place, LINES_PER_BLOCK)
                pieces[block] = _mark(pieces[block], {line: exemplars[key][0]})
        return pieces

    def _histograms(self, histograms: Mapping[Key, Cells], exemplars: Mapping[Key, Exemplars]) -> list[str]:
        children = self._children
        pieces = []
        for key, cells in histograms.items():
            known = children.get(key)
            if known is None or known[0] != cells:
                template = self._templates.get(key) or self._remember(key)
                counts = [*accumulate(cells[1:])]
                known = children[key] = (cells, template % (*counts, counts[-1], cells[0]))
            pieces.append(known[1])
            if key in exemplars:
                # The cell of a bucket is one behind its line: the first cell is the sum.
                marks = {cell - 1: exemplar for cell, exemplar in exemplars[key].items()}
                pieces[-1] = _mark(pieces[-1], marks)
        return pieces

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

    __slots__ = ("_numbers", "_template", "_text")

    def __init__(self, lines: list[str]) -> None:
        self._template = "".join(lines)
        self._numbers: list[float] | None = None
        self._text = ""

    def text(self, numbers: list[float]) -> str:
        """Return the lines with these numbers in them."""
        if numbers != self._numbers:
            # An int is written digit by digit, a float so that it reads back exactly.
            self._text = self._template % tuple(numbers)
            self._numbers = numbers
        return self._text


def _mark(text: str, exemplars: Exemplars) -> str:
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
