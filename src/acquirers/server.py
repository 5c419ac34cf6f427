"""The composition root: create one acquirer, listen, stop in order."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from acquirers.book import Book
from acquirers.bookkeeper import Bookkeeper
from acquirers.chargeback_control import ChargebackControl
from acquirers.control import Control
from acquirers.dialects.north import North
from acquirers.dialects.south import South
from acquirers.faults import FaultRegistry
from acquirers.http_requests import BODY_BYTES_MAX, Secret, answer_errors
from acquirers.listening import listening
from acquirers.operation_service import IN_FLIGHT_MAX, OperationService
from acquirers.reports import Reports
from acquirers.settings import DialectName, Settings, read_secret
from acquirers.signing import Signer
from acquirers.webhooks import WebhookSender

_STOP_SECONDS: Final = 1.0
_DIALECTS: Final[Mapping[DialectName, Callable[[OperationService, Reports, Secret], North | South]]] = {
    DialectName.NORTH: North,
    DialectName.SOUTH: South,
}


def create_app(
    settings: Settings,
    *,
    bookkeeper: Bookkeeper,
    faults: FaultRegistry,
    api_key: Secret,
    control_token: Secret,
    stopping: asyncio.Event,
    webhook_sender: WebhookSender | None = None,
    in_flight_max: int = IN_FLIGHT_MAX,
) -> web.Application:
    """Create an acquirer's endpoints. The caller closes the bookkeeper and runs the webhook sender."""
    service = OperationService(
        name=settings.name,
        bookkeeper=bookkeeper,
        faults=faults,
        decline_rate=settings.decline_rate,
        latency_seconds=settings.latency_seconds,
        stopping=stopping,
        in_flight_max=in_flight_max,
    )
    reports = Reports(
        bookkeeper=bookkeeper,
        faults=faults,
        fees=settings.fees,
        exchanges=settings.exchanges,
        period_seconds=settings.settlement_period_seconds,
    )
    control = Control(
        name=settings.name,
        bookkeeper=bookkeeper,
        faults=faults,
        reports=reports,
        service=service,
        token=control_token,
    )
    app = web.Application(middlewares=[answer_errors], client_max_size=BODY_BYTES_MAX)
    app.add_routes(_DIALECTS[settings.dialect](service, reports, api_key).routes())
    app.add_routes(control.routes())
    app.add_routes(
        ChargebackControl(bookkeeper=bookkeeper, token=control_token, webhook_sender=webhook_sender).routes()
    )
    return app


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raises SecretMissing, BookUnwritable, BookForeign or PortTaken."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    api_key = Secret(read_secret(settings.secrets_folder, f"{settings.name}_api_key"))
    control_token = Secret(read_secret(settings.secrets_folder, f"{settings.name}_control_token"))
    signer = Signer(settings.secrets_folder, settings.name, now=time.time) if settings.webhook else None
    book = Book(
        settings.book,
        name=settings.name,
        dialect=settings.dialect,
        period_seconds=settings.settlement_period_seconds,
        lifetime_seconds=settings.authorization_lifetime_seconds,
    )
    bookkeeper = Bookkeeper(book)
    faults = FaultRegistry()
    webhook_sender = None
    if settings.webhook is not None and signer is not None:
        webhook_sender = WebhookSender(
            name=settings.name,
            settings=settings.webhook,
            bookkeeper=bookkeeper,
            faults=faults,
            signer=signer,
        )
    app = create_app(
        settings,
        bookkeeper=bookkeeper,
        faults=faults,
        api_key=api_key,
        control_token=control_token,
        stopping=stopping,
        webhook_sender=webhook_sender,
    )
    try:
        async with listening(app, settings.host, settings.port, stop_seconds=_STOP_SECONDS) as port:
            sys.stdout.write(json.dumps({"event": "listening", "port": port}, separators=(",", ":")) + "\n")
            sys.stdout.flush()
            await _run_until(stopping, webhook_sender)
    finally:
        await bookkeeper.close()


async def _run_until(stopping: asyncio.Event, webhook_sender: WebhookSender | None) -> None:
    """Wait for the end and send webhooks meanwhile; a failure of the webhook sender ends the acquirer."""
    waiting = asyncio.create_task(stopping.wait())
    tasks: list[asyncio.Task[Any]] = [waiting]
    if webhook_sender is not None:
        tasks.append(asyncio.create_task(webhook_sender.run()))
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if not task.done():
            task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
