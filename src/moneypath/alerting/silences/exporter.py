"""Serve the silences of integrity alerts as metrics."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import web

from moneypath.alerting.conventions import LAST_SUCCESS, SILENCE_END, SILENCES, SILENCES_JOB
from moneypath.alerting.errors import SilencesUnknown
from moneypath.alerting.silences.alertmanager import Silence
from moneypath.alerting.silences.counting import SilenceReader
from moneypath.alerting.silences.integrity_alerts import IntegrityAlerts
from moneypath.stack.exposing import Tell, metrics_app, serve_until_stopped
from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.setup import Recorder, setup

VIOLATIONS: Final = "moneypath_check_violations"


class SilenceGauges:
    """The gauges of the exporter. What is not known is absent; it is never 0."""

    def __init__(self, wanted: IntegrityAlerts) -> None:
        self._wanted = wanted
        self.recorder = _recorder(wanted)

    def show(self, found: Mapping[str, Sequence[Silence]], at: float) -> None:
        """Show what was read at an instant, Unix time."""
        for name in self._wanted.alerts:
            silences = found[name]
            self.recorder.gauge(SILENCES).set(len(silences), alert=name)
            if silences:
                end = max(silence.ends_at for silence in silences)
                self.recorder.gauge(SILENCE_END).set(end, alert=name)
            else:
                self.recorder.gauge(SILENCE_END).clear(alert=name)
        different = {silence.id for silences in found.values() for silence in silences}
        self.recorder.gauge(VIOLATIONS).set(len(different), check=self._wanted.check)
        self.recorder.gauge(LAST_SUCCESS).set(at, check=self._wanted.check)

    def forget(self) -> None:
        """Show that nothing is known; the time of the last success stays."""
        for name in self._wanted.alerts:
            self.recorder.gauge(SILENCES).clear(alert=name)
            self.recorder.gauge(SILENCE_END).clear(alert=name)
        self.recorder.gauge(VIOLATIONS).clear(check=self._wanted.check)


class Exporter:
    """Asks again and again, and answers scrapes with what it knows."""

    def __init__(self, reader: SilenceReader, *, every_seconds: float, tell: Tell) -> None:
        self._reader, self._every_seconds, self._tell = reader, every_seconds, tell
        self._gauges = SilenceGauges(reader.wanted)
        self._problem: str | None = None

    async def ask_for_ever(self) -> None:
        """Read the silences every so many seconds, and tell when what is known changes."""
        while True:
            await self.ask_once()
            await asyncio.sleep(self._every_seconds)

    async def ask_once(self) -> None:
        """Read the silences once; a failure leaves nothing shown."""
        asked_at = time.time()
        try:
            found = await self._reader.read()
        except SilencesUnknown as unknown:
            self._gauges.forget()
            if self._problem != unknown.what:
                self._tell({"event": "silences_unknown", "reason": unknown.what})
            self._problem = unknown.what
            return
        # The time before the question: a silence that was made meanwhile may not be among the answers.
        self._gauges.show(found, asked_at)
        if self._problem is not None:
            self._tell({"event": "silences_known_again"})
        self._problem = None

    def app(self) -> web.Application:
        """Return the application."""
        return metrics_app(self._gauges.recorder, lambda: {"problem": self._problem})


async def serve(reader: SilenceReader, host: str, port: int, *, every_seconds: float, tell: Tell) -> None:
    """Serve until SIGTERM or SIGINT; tells the port, which is a free one for port 0. Raises OSError."""
    exporter = Exporter(reader, every_seconds=every_seconds, tell=tell)
    await serve_until_stopped(exporter.app(), host, port, work=[exporter.ask_for_ever()], tell=tell)


def _recorder(wanted: IntegrityAlerts) -> Recorder:
    # Only the alerts and the check matter; a catalogue has no empty lists of the others.
    catalogue = Catalogue.build(
        {
            "alerts": tuple(wanted.alerts),
            "checks": (wanted.check,),
            "providers": ("any",),
            "currencies": ("any",),
            "schemes": ("any",),
        }
    )
    return setup(
        catalogue,
        service=SILENCES_JOB,
        metrics=(SILENCES, SILENCE_END, VIOLATIONS, LAST_SUCCESS),
        shared=False,
    )
