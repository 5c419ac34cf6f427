"""A real collector with our configuration on reserved loopback ports."""

import asyncio
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from moneypath.stack.errors import FolderUnwritable, ServerNotStarted
from moneypath.stack.server import Probe, ServerSpec

OVERLAY_FILE = "overlay.yaml"
_VALIDATE_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorPorts:
    """The ports on which a collector listens."""

    grpc: int
    http: int
    prometheus: int
    own_metrics: int


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector that is ready to be started."""

    spec: ServerSpec
    otlp_url: str
    prometheus_url: str
    own_metrics_url: str


def prepare(
    folder: Path,
    ports: CollectorPorts,
    *,
    binary: Path,
    config: Path,
    backend_url: str,
    changes: Mapping[str, Any] | None = None,
) -> Collector:
    """Describe a collector that runs `config` on other addresses; `changes` are merged into the
    configuration.

    Validates the result with the collector's own `validate`. Raises ServerNotStarted with its output, or
    FolderUnwritable.
    """
    overlay = folder / OVERLAY_FILE
    files = [f"--config={config}", f"--config={overlay}"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = yaml.safe_load(config.read_text(encoding="utf-8"))
        addresses = _addresses(ports, written["service"]["telemetry"]["metrics"]["readers"])
        overlay.write_text(yaml.safe_dump(_merged(addresses, changes or {})), encoding="utf-8")
    except OSError as error:
        raise FolderUnwritable(f"folder not writable: {folder} ({error.strerror})") from error
    environment = {"MONEYPATH_BACKEND_URL": backend_url}
    checked = subprocess.run(  # noqa: S603  # a list; the program that we built
        [str(binary), "validate", *files],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_VALIDATE_WITHIN_SECONDS,
        check=False,
    )
    if checked.returncode:
        raise ServerNotStarted(f"collector: configuration refused: {checked.stderr.strip()[-1000:]}")
    own_metrics_url = f"http://127.0.0.1:{ports.own_metrics}/metrics"
    spec = ServerSpec(
        name="collector",
        command=(str(binary), *files),
        ready=_listens(ports.http),
        env=environment,
        cwd=folder,
        port=ports.http,
        ready_within_seconds=60.0,
    )
    return Collector(
        spec,
        f"http://127.0.0.1:{ports.http}",
        f"http://127.0.0.1:{ports.prometheus}/metrics",
        own_metrics_url,
    )


def _listens(port: int) -> Probe:
    """Return a probe of the receivers, which the collector starts last; they answer OTLP requests only."""

    async def probe() -> bool:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        return True

    return probe


def _addresses(ports: CollectorPorts, readers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return all addresses that are replaced. A list replaces a whole list, so the metric readers are
    repeated.
    """
    own = {"host": "127.0.0.1", "port": ports.own_metrics}
    readers = [_merged(reader, {"pull": {"exporter": {"prometheus": own}}}) for reader in readers]
    return {
        "receivers": {
            "otlp": {
                "protocols": {
                    "grpc": {"endpoint": f"127.0.0.1:{ports.grpc}"},
                    "http": {"endpoint": f"127.0.0.1:{ports.http}"},
                }
            }
        },
        "exporters": {"prometheus": {"endpoint": f"127.0.0.1:{ports.prometheus}"}},
        "service": {"telemetry": {"metrics": {"readers": readers}}},
    }


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(known, value) if both and known is not None else value
    return merged
