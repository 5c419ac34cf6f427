"""Set up Prometheus and Alertmanager over a live money path: rules, routes, history, servers."""

import asyncio
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from moneypath.alerting.conventions import SILENCES_JOB
from moneypath.alerting.generate import LiveAlerting, write_live
from moneypath.alerting.history import backfill, longest_window_seconds
from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath
from moneypath.stack import alertmanager, binaries, prometheus
from moneypath.stack.pager.spec import python_environment
from moneypath.stack.ports import PortPool
from moneypath.stack.server import ServerSpec, http_ready
from moneypath.stack.supervisor import Supervisor

# Longer than the longest window, so that the gap until the first scrape does not empty its far end.
HISTORY_WINDOWS: Final = 2


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of the monitoring."""

    prometheus: binaries.Binary
    promtool: binaries.Binary
    alertmanager: binaries.Binary


@dataclass(frozen=True, slots=True)
class MonitoringEndpoints:
    """The addresses of both servers; `clamped` names the windows that the scale could not shorten fully."""

    prometheus: str
    alertmanager: str
    clamped: tuple[str, ...]


def find_programs(announce: Callable[[str], None]) -> Programs:
    """Find or fetch the programs; takes some seconds the first time. Raises BinaryMissing."""
    names = ("prometheus", "promtool", "alertmanager")
    found = {name: binaries.find(name, progress=announce) for name in names}
    return Programs(**found)


def write_past(path: MoneyPath, scale: Scale, events_per_second: int, until: float) -> str:
    """Return the history of a stack up to an instant (Unix seconds), at the rate of the load to come.

    The rate is of all providers together; each has an equal part of it, which may be no whole number.
    """
    step = math.ceil(scale.timing.scrape_seconds)
    seconds = math.ceil(longest_window_seconds(path, scale) * HISTORY_WINDOWS / step) * step
    # Without providers all payments count together.
    per_provider = Fraction(events_per_second, max(1, len(path.providers)))
    return backfill(path, until=until, seconds=seconds, step=step, events_per_second=per_provider)


class MonitoringBuilder:
    """Sets both servers up for one money path at one scale; every alert says its `environment`."""

    def __init__(
        self,
        path: MoneyPath,
        scale: Scale,
        folder: Path,
        ports: PortPool,
        supervisor: Supervisor,
        *,
        environment: str,
    ) -> None:
        self._path, self._scale, self._folder, self._environment = path, scale, folder, environment
        self._ports, self._supervisor = ports, supervisor

    async def begin(
        self,
        programs: Programs,
        *,
        pager_url: str,
        pager_token_file: Path,
        targets: Mapping[str, str],
        events_per_second: int,
    ) -> MonitoringEndpoints:
        """Start Alertmanager, write the history, start Prometheus; `targets` maps a job to its host:port.

        `events_per_second` is the expected load over all providers; the history has the same.
        """
        files = write_live(
            self._path,
            self._folder / "alerts",
            self._scale,
            pager_url=pager_url,
            credentials_file=pager_token_file,
            environment=self._environment,
        )
        alertmanager_url = await self._start_alertmanager(programs, files)
        port = self._ports.reserve("prometheus")
        if files.integrity_alerts_file is not None:
            address = await self._start_silences(files.integrity_alerts_file, alertmanager_url)
            targets = {**targets, SILENCES_JOB: address}
        server = self._prometheus(programs, files, port, targets, alertmanager_url)
        past = await asyncio.to_thread(write_past, self._path, self._scale, events_per_second, time.time())
        await prometheus.backfill(programs.promtool, self._folder / "prometheus" / "data", past)
        await self._supervisor.start(server)
        return MonitoringEndpoints(f"http://127.0.0.1:{port}", alertmanager_url, files.clamped)

    async def _start_alertmanager(self, programs: Programs, files: LiveAlerting) -> str:
        port, folder = self._ports.reserve("alertmanager"), self._folder / "alertmanager"
        await self._supervisor.start(
            alertmanager.spec(programs.alertmanager, folder, port, config_file=files.alertmanager_file)
        )
        return f"http://127.0.0.1:{port}"

    async def _start_silences(self, alerts_file: Path, alertmanager_url: str) -> str:
        port = self._ports.reserve(SILENCES_JOB)
        command = (
            "-m", "moneypath", "silences", "export", "--port", str(port),
            "--alertmanager", alertmanager_url, "--alerts", str(alerts_file),
            "--every", f"{float(self._scale.timing.scrape_seconds):g}",
        )  # fmt: skip
        await self._supervisor.start(
            ServerSpec(
                name=SILENCES_JOB,
                command=(sys.executable, *command),
                env=python_environment(),
                cwd=self._folder,
                port=port,
                ready=http_ready(f"http://127.0.0.1:{port}/healthz"),
            )
        )
        return f"127.0.0.1:{port}"

    def _prometheus(
        self,
        programs: Programs,
        files: LiveAlerting,
        port: int,
        targets: Mapping[str, str],
        alertmanager_url: str,
    ) -> ServerSpec:
        times = self._scale.timing
        return prometheus.spec(
            programs.prometheus,
            self._folder / "prometheus",
            port,
            rule_files=[files.rule_file],
            scrape_targets=targets,
            alertmanager_url=alertmanager_url,
            scrape_interval_seconds=float(times.scrape_seconds),
            evaluation_interval_seconds=float(times.evaluation_seconds),
            resend_delay_seconds=float(times.resend_delay_seconds),
            lookback_seconds=float(times.lookback_seconds),
            for_grace_period_seconds=float(times.for_grace_seconds),
            external_labels={"environment": self._environment},
        )
