"""The wallet's side of its banks: place an order, and ask what became of one."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import TracebackType
from typing import Final, Self

import httpx

from moneypath.telemetry.integrations import httpx as observed_calls
from wallet.measures import Measures
from wallet.settings import Settings
from wallet.tables import BankOrder

PATHS: Final = {"TOP_UP": "/collections", "WITHDRAWAL": "/payments"}
OPERATIONS: Final = {"/collections": "top_up", "/payments": "withdraw"}
# What a bank says of an order, and how we count it.
COUNTED: Final = {"MOVED": "moved", "REFUSED": "refused", "FAILED": "error", "SILENT": "silent"}


class Said(StrEnum):
    """What is known of an order after a bank was asked; `SILENT` is nothing."""

    MOVED = "MOVED"
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    SILENT = "SILENT"


class Banks:
    """One HTTP client for each bank, all within the deadline of the settings."""

    def __init__(self, settings: Settings, measures: Measures) -> None:
        self._life = timedelta(seconds=settings.order_life_seconds)
        self._measures = measures
        self._clients: Mapping[str, httpx.AsyncClient] = {
            bank: httpx.AsyncClient(
                base_url=url,
                timeout=settings.bank_patience_seconds,
                headers={"Authorization": f"Bearer {settings.secret(f'{bank}_token')}"},
                trust_env=False,
            )
            for bank, url in settings.banks.items()
        }
        for bank, client in self._clients.items():
            observed_calls.instrument(
                client, measures.recorder, provider=bank, operation=_operation, classify=_classify
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def place(self, order: BankOrder) -> Said:
        """Have a bank carry an order out. A bank that is late or ends the connection may have done it."""
        body = {
            "order": str(order.id),
            "reference": order.reference,
            "customer": order.purse_id,
            "amount": _major(order.amount),
            "currency": order.currency,
            "not_after": (order.placed_at + self._life).isoformat(),
        }
        return await self._ask(order.bank, "POST", PATHS[order.kind], body)

    async def ask(self, order: BankOrder, now: datetime) -> Said:
        """Ask what became of an order; one that the bank does not know, and may no more do, has failed."""
        said = await self._ask(order.bank, "GET", f"/orders/{order.id}", None)
        if said is Said.FAILED and now < order.placed_at + self._life:
            return Said.SILENT
        return said

    async def _ask(self, bank: str, method: str, path: str, body: Mapping[str, object] | None) -> Said:
        said = Said.SILENT
        try:
            answer = await self._clients[bank].request(method, path, json=body)
            said = _read(answer)
        except httpx.ConnectError:
            said = Said.FAILED if method == "POST" else Said.SILENT
        except httpx.HTTPError:
            said = Said.SILENT
        finally:
            self._measures.bank_requests.labels(bank, COUNTED[said]).inc()
        return said


def _read(answer: httpx.Response) -> Said:
    if answer.status_code == 404:
        return Said.FAILED
    try:
        content = answer.json()
    except ValueError:
        content = None
    state = content.get("state") if isinstance(content, dict) else None
    if answer.is_success and state in ("MOVED", "REFUSED"):
        return Said(state)
    # 503 is a bank's word for "not taken"; after any other error it may have been.
    return Said.FAILED if answer.status_code == 503 else Said.SILENT


def _classify(answer: httpx.Response) -> str | None:
    """Recognise a refusal; whatever else is answered, the status decides."""
    return "declined" if _read(answer) is Said.REFUSED else None


def _operation(request: httpx.Request) -> str:
    return OPERATIONS.get(request.url.path, "query")


def _major(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
