"""Windows of a build that were recorded for later comparisons, with the machine that measured them."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from moneypath.capacity.errors import GateRefused
from moneypath.capacity.gate_file import Gate
from moneypath.capacity.permutation import WindowMeasures

FORMAT: Final = 1
MAX_BYTES: Final = 4 * 1024 * 1024
KEYS: Final = frozenset(("format", "build", "machine", "plan", "windows"))


@dataclass(frozen=True, slots=True)
class RecordedWindows:
    """The windows of one build, the fingerprint of the machine, and the plan of the load."""

    build: str
    machine: Mapping[str, str]
    plan: Mapping[str, str]
    windows: tuple[WindowMeasures, ...]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a file that `write` wrote; raises GateRefused."""
        try:
            content = file.read_bytes()
            document = json.loads(content) if len(content) <= MAX_BYTES else None
        except OSError as error:
            raise _refused(file, f"cannot be read: {error.strerror}") from None
        except ValueError:
            raise _refused(file, "is not JSON") from None
        if not isinstance(document, dict) or "format" not in document:
            raise _refused(file, "holds no recorded windows")
        if document["format"] != FORMAT:
            raise _refused(file, f"has format {document['format']!r}, allowed: {FORMAT}")
        damaged = _refused(file, f"is damaged; allowed: {', '.join(sorted(KEYS))}")
        if set(document) != KEYS:
            raise damaged
        try:
            windows = tuple(_measures(each) for each in document["windows"])
            if len({frozenset(each) for each in windows}) > 1:
                raise damaged
            return cls(str(document["build"]), _texts(document["machine"]), _texts(document["plan"]), windows)
        except (ValueError, TypeError, AttributeError):
            raise damaged from None

    def write(self, file: Path) -> None:
        """Write everything to a file."""
        document = {
            "format": FORMAT,
            "build": self.build,
            "machine": dict(self.machine),
            "plan": dict(self.plan),
            "windows": [dict(each) for each in self.windows],
        }
        file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    def unusable_here(self, machine: Mapping[str, str], plan: Mapping[str, str]) -> str:
        """Return why these windows cannot be compared with those of another run, "" if they can."""
        for what, own, other in (("machine", self.machine, machine), ("plan", self.plan, plan)):
            different = sorted(key for key in {*own, *other} if own.get(key) != other.get(key))
            if different:
                return f"recorded with another {what}: {', '.join(different)} differ"
        return ""


def describe_plan(gate: Gate) -> Mapping[str, str]:
    """Return what has to be equal for windows to be comparable."""
    return {"load": gate.load.model_dump_json(), "window": f"{gate.baseline.window:g}"}


def _texts(value: Mapping[str, Any]) -> Mapping[str, str]:
    return {str(key): str(each) for key, each in value.items()}


def _measures(value: Mapping[str, Any]) -> WindowMeasures:
    measures = {str(key): float(each) for key, each in value.items()}
    if not measures or not all(math.isfinite(each) and each > 0 for each in measures.values()):
        raise ValueError
    return measures


def _refused(file: Path, what: str) -> GateRefused:
    return GateRefused(
        f"no baseline: {file}: {what}", hint="Record one with `moneypath gate --record-baseline FILE`."
    )
