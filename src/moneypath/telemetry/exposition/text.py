"""Writing metrics as Prometheus text 0.0.4 and OpenMetrics 1.0, from cached line prefixes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec
from moneypath.telemetry.exposition.samples import Cells, Key

ACCEPT_LENGTH_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Format:
    """One exposition format and the content type that announces it."""

    openmetrics: bool
    content_type: str


TEXT = Format(openmetrics=False, content_type="text/plain; version=0.0.4; charset=utf-8")
OPENMETRICS = Format(
    openmetrics=True, content_type="application/openmetrics-text; version=1.0.0; charset=utf-8"
)


def negotiate(accept: str) -> Format:
    """Choose the format that an Accept header prefers; text 0.0.4 if it names neither or is malformed."""
    preference = {"text/plain": 0.0, "application/openmetrics-text": 0.0}
    for part in accept[:ACCEPT_LENGTH_LIMIT].split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        given = dict(parameter.partition("=")[::2] for parameter in parameters)
        if media in preference and given.get("version", "1.0.0") in ("1.0.0", "0.0.1", "0.0.4"):
            preference[media] = max(preference[media], _quality(given.get("q", "1")))
    preferred = preference["application/openmetrics-text"]
    return OPENMETRICS if preferred > 0 and preferred >= preference["text/plain"] else TEXT


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


def number(value: float) -> str:
    """Write a sample's value; an int is written digit by digit, a float so that it reads back exactly."""
    return int.__repr__(value) if isinstance(value, int) else float.__repr__(value)


class FamilyText:
    """Write one metric; what does not change between scrapes is built once."""

    __slots__ = ("_blocks", "_header", "_openmetrics_header", "_prefixes", "_spec")

    def __init__(self, spec: MetricSpec) -> None:
        self._spec = spec
        help_text = _escape(spec.help)
        self._header = f"# HELP {spec.name} {help_text}\n# TYPE {spec.name} {spec.kind}\n"
        quoted = help_text.replace('"', '\\"')
        unit = f"# UNIT {spec.family} {spec.unit}\n" if spec.unit else ""
        self._openmetrics_header = f"# HELP {spec.family} {quoted}\n# TYPE {spec.family} {spec.kind}\n{unit}"
        self._prefixes: dict[Key, list[str]] = {}
        self._blocks: dict[Key, tuple[Cells, str]] = {}

    def header(self, *, openmetrics: bool) -> str:
        """Return the comment lines before the samples."""
        return self._openmetrics_header if openmetrics else self._header

    def values(self, samples: Mapping[Key, float]) -> Iterable[str]:
        """Yield the lines of a counter or a gauge."""
        for key, value in samples.items():
            prefixes = self._prefixes.get(key) or self._remember(key)
            yield f"{prefixes[0]}{number(value)}\n"

    def histograms(self, samples: Mapping[Key, Cells]) -> Iterable[str]:
        """Yield the lines of a histogram; one unchanged since the last scrape is not written anew."""
        for key, cells in samples.items():
            block = self._blocks.get(key)
            if block is None or block[0] != cells:
                block = self._blocks[key] = (cells, self._histogram(key, cells))
            yield block[1]

    def _histogram(self, key: Key, cells: Cells) -> str:
        prefixes = self._prefixes.get(key) or self._remember(key)
        lines: list[str] = []
        count = 0.0
        for prefix, bucket in zip(prefixes, cells[1:], strict=False):
            count += bucket
            lines.append(f"{prefix}{number(count)}\n")
        lines.append(f"{prefixes[-2]}{number(count)}\n")
        lines.append(f"{prefixes[-1]}{number(cells[0])}\n")
        return "".join(lines)

    def _remember(self, key: Key) -> list[str]:
        spec = self._spec
        pairs = [f'{label}="{_escape_value(value)}"' for label, value in zip(spec.labels, key, strict=True)]
        if spec.kind is MetricKind.HISTOGRAM:
            edges = [*map(number, spec.buckets), "+Inf"]
            prefixes = [_sample(f"{spec.name}_bucket", [*pairs, f'le="{edge}"']) for edge in edges]
            prefixes += [_sample(f"{spec.name}_count", pairs), _sample(f"{spec.name}_sum", pairs)]
        else:
            prefixes = [_sample(spec.name, pairs)]
        self._prefixes[key] = prefixes
        return prefixes


def _sample(name: str, pairs: list[str]) -> str:
    return f"{name}{{{','.join(pairs)}}} " if pairs else f"{name} "


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_value(text: str) -> str:
    return _escape(text).replace('"', '\\"')
