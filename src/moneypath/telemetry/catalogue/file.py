"""The catalogue as a JSON file. A file with anything unknown in it is refused as a whole."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from moneypath.telemetry.catalogue.metric import Merge, MetricKind, MetricSpec, Unit
from moneypath.telemetry.errors import CatalogueInvalid
from moneypath.telemetry.redaction import redact

FORMAT_VERSION = 1
SIZE_LIMIT_BYTES = 1024 * 1024
HINT = "Run `moneypath generate`; the file is generated and must not be edited."

_KEYS = ("name", "kind", "help", "unit", "labels", "buckets", "series_budget", "precreate")
# Written only if it is not the default, which keeps most lines short.
_OPTIONAL_KEYS = ("merge",)

T = TypeVar("T")


class _Broken(Exception):
    """The key that is wrong and why. `read` adds the name of the file."""

    def __init__(self, key: str, what: str) -> None:
        # In quotes and followed by a verb, because redaction would take `extra_key: unknown` for a name
        # with its secret.
        super().__init__(redact(f'"{key}" {what}'))


def write(specs: Iterable[MetricSpec]) -> str:
    """Return metrics as JSON with one metric a line, so that a diff shows one line for each change."""
    lines = ",\n".join(f"  {json.dumps(_to_object(spec), ensure_ascii=False)}" for spec in specs)
    return f'{{\n"version": {FORMAT_VERSION},\n"metrics": [\n{lines}\n]\n}}\n'


def _to_object(spec: MetricSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "kind": spec.kind.value,
        "help": spec.help,
        "unit": spec.unit.value,
        "labels": {label: list(values) for label, values in spec.labels.items()},
        "buckets": list(spec.buckets),
        "series_budget": spec.series_budget,
        "precreate": spec.precreate,
        **({} if spec.merge is Merge.LATEST else {"merge": spec.merge.value}),
    }


def read(file: Path, collect: Callable[[Iterable[MetricSpec]], T]) -> T:
    """Read the metrics of a file and pass them to `collect`.

    Raises CatalogueInvalid, which names the file and the key that is missing, unknown or wrong.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CatalogueInvalid(f"{file} cannot be read: {reason}.", hint=HINT) from error
    if len(content) > SIZE_LIMIT_BYTES:
        raise CatalogueInvalid(f"{file} is larger than {SIZE_LIMIT_BYTES} bytes.", hint=HINT)
    try:
        return collect(_metrics(_parse(content)))
    except (_Broken, CatalogueInvalid) as error:
        what = error.what if isinstance(error, CatalogueInvalid) else str(error)
        raise CatalogueInvalid(f"{file}: {what}", hint=HINT) from error


def _parse(content: bytes) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                raise _Broken(name, "occurs twice.")
        return dict(pairs)

    def refuse(constant: str) -> object:
        raise _Broken(constant, "is not a number of JSON.")

    try:
        return json.loads(content, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise _Broken("content", f"is not valid JSON: {error}.") from error


def _metrics(document: object) -> list[MetricSpec]:
    top = _keyed(document, ("version", "metrics"), "catalogue")
    if top["version"] != FORMAT_VERSION or isinstance(top["version"], bool):
        raise _Broken("version", f"is {top['version']!r}, not {FORMAT_VERSION}.")
    entries = top["metrics"]
    if not isinstance(entries, list):
        raise _Broken("metrics", "is not a list.")
    return [_metric(entry, f"metrics[{index}]") for index, entry in enumerate(entries)]


def _metric(entry: object, at: str) -> MetricSpec:
    keyed = _keyed(entry, _KEYS, at, optional=_OPTIONAL_KEYS)
    for key, kind in (("name", str), ("help", str), ("series_budget", int), ("precreate", bool)):
        value = keyed[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise _Broken(f"{at}.{key}", f"is {value!r}, which is not of type {kind.__name__}.")
    return MetricSpec(
        name=str(keyed["name"]),
        kind=MetricKind(_one_of(keyed["kind"], [kind.value for kind in MetricKind], f"{at}.kind")),
        help=str(keyed["help"]),
        unit=Unit(_one_of(keyed["unit"], [unit.value for unit in Unit], f"{at}.unit")),
        labels=_labels(keyed["labels"], f"{at}.labels"),
        buckets=_buckets(keyed["buckets"], f"{at}.buckets"),
        series_budget=int(str(keyed["series_budget"])),
        precreate=keyed["precreate"] is True,
        merge=Merge(
            _one_of(keyed.get("merge", Merge.LATEST.value), [merge.value for merge in Merge], f"{at}.merge")
        ),
    )


def _keyed(
    value: object, keys: tuple[str, ...], at: str, *, optional: tuple[str, ...] = ()
) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _Broken(at, "is not an object.")
    for key in value:
        if key not in keys and key not in optional:
            raise _Broken(f"{at}.{key}", f"is not a known key; allowed: {', '.join((*keys, *optional))}.")
    for key in keys:
        if key not in value:
            raise _Broken(f"{at}.{key}", "is missing.")
    return value


def _one_of(value: object, allowed: list[str], at: str) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise _Broken(at, f"is {value!r}; allowed: {', '.join(map(repr, allowed))}.")
    return value


def _labels(value: object, at: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise _Broken(at, "is not an object of lists.")
    labels: dict[str, tuple[str, ...]] = {}
    for label, values in value.items():
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise _Broken(f"{at}.{label}", "is not a list of strings.")
        labels[label] = tuple(values)
    return labels


def _buckets(value: object, at: str) -> tuple[float, ...]:
    if not isinstance(value, list) or not all(type(edge) in (int, float) for edge in value):
        raise _Broken(at, "is not a list of numbers.")
    return tuple(float(edge) for edge in value)
