"""Endpoints for fault controls, the book and health. Faults never affect these endpoints."""

import time
from typing import Final

from aiohttp import web

from acquirers.book import PAGE_ROWS_MAX
from acquirers.bookkeeper import Bookkeeper
from acquirers.fault_requests import read_fault, read_lease
from acquirers.faults import FaultKind, FaultRegistry, Lease
from acquirers.http_requests import INTEGER_MAX, Secret, read_json, read_query_integer
from acquirers.operation_service import OperationService
from acquirers.operations import Entry
from acquirers.reports import Reports, Served

_PAGE_ROWS: Final = 1000


class Control:
    """The operator's endpoints. Fault controls and the book need the control token, health does not."""

    def __init__(
        self,
        *,
        name: str,
        bookkeeper: Bookkeeper,
        faults: FaultRegistry,
        reports: Reports,
        service: OperationService,
        token: Secret,
    ) -> None:
        self._name = name
        self._service = service
        # The counts begin with this process; a reader who sees another instant knows that they began anew.
        self._since = time.time()
        self._reports = reports
        self._bookkeeper = bookkeeper
        self._faults = faults
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, which are the same for every dialect."""
        return [
            web.post("/control/faults", self._add),
            web.get("/control/faults", self._list),
            web.delete("/control/faults", self._clear_all),
            web.delete("/control/faults/{id}", self._clear),
            web.put("/control/faults/{id}/lease", self._renew),
            web.get("/truth/operations", self._truth),
            web.get("/truth/reports", self._served),
            web.get("/truth/requests", self._received),
            web.get("/healthz", self._health),
            web.get("/readyz", self._ready),
        ]

    async def _add(self, request: web.Request) -> web.Response:
        self._token.require_bearer(request)
        fault, lease_seconds = read_fault(await read_json(request))
        if fault.kind is FaultKind.WITHHOLD:
            await self._reports.published()  # what is due before the fault is not withheld by it
        return web.json_response(self._describe_lease(self._faults.add(fault, lease_seconds)), status=201)

    async def _renew(self, request: web.Request) -> web.Response:
        self._token.require_bearer(request)
        lease_seconds = read_lease(await read_json(request))
        lease = self._faults.renew(request.match_info["id"], lease_seconds)
        return web.json_response(self._describe_lease(lease))

    async def _clear(self, request: web.Request) -> web.Response:
        # Clearing a fault that is gone is no error, because an undo must be repeatable.
        self._token.require_bearer(request)
        return web.json_response({"cleared": self._faults.clear(request.match_info["id"])})

    async def _clear_all(self, request: web.Request) -> web.Response:
        self._token.require_bearer(request)
        return web.json_response({"cleared": self._faults.clear()})

    async def _list(self, request: web.Request) -> web.Response:
        self._token.require_bearer(request)
        return web.json_response({"faults": [self._describe_fault(lease) for lease in self._faults.active()]})

    async def _truth(self, request: web.Request) -> web.Response:
        self._token.require_bearer(request)
        after = read_query_integer(request, "after", 0, 0, INTEGER_MAX)
        limit = read_query_integer(request, "limit", _PAGE_ROWS, 1, PAGE_ROWS_MAX)
        entries = await self._bookkeeper.page(after, limit + 1)
        rows = [_describe_entry(entry) for entry in entries[:limit]]
        more = entries[limit - 1].seq if len(entries) > limit else None
        return web.json_response({"provider": self._name, "rows": rows, "next": more})

    async def _served(self, request: web.Request) -> web.Response:
        self._token.require_bearer(request)
        served = [_describe_served(one) for one in self._reports.served]
        forgotten = self._reports.forgotten
        return web.json_response({"provider": self._name, "served": served, "forgotten": forgotten})

    async def _received(self, request: web.Request) -> web.Response:
        self._token.require_bearer(request)
        counts = {"since": self._since, "received": dict(self._service.received)}
        return web.json_response({"provider": self._name, **counts})

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _: web.Request) -> web.Response:
        await self._bookkeeper.probe()
        return web.json_response({"status": "ready"})

    def _describe_lease(self, lease: Lease) -> dict[str, object]:
        return {"id": lease.id, "expires_in_seconds": round(self._faults.remaining_seconds(lease), 3)}

    def _describe_fault(self, lease: Lease) -> dict[str, object]:
        fault = lease.fault
        return {
            **self._describe_lease(lease),
            "kind": fault.kind,
            "rate": fault.rate,
            "latency_seconds": fault.latency_seconds,
            "seed": fault.seed,
            "what": fault.what,
            "scope": {
                "card_ranges": sorted(fault.scope.card_ranges),
                "currencies": sorted(fault.scope.currencies),
                "operations": sorted(fault.scope.operations),
            },
            "hits": lease.hits,
        }


def _describe_served(served: Served) -> dict[str, object]:
    taken = served.taken
    return {
        "sequence": served.sequence,
        "at": served.at,
        "fees_minor": None if taken is None else taken.fees_minor,
        "exchanged_minor": None if taken is None else taken.exchanged_minor,
    }


def _describe_entry(entry: Entry) -> dict[str, object]:
    return {
        "seq": entry.seq,
        "key": entry.key,
        "kind": entry.kind,
        "reference": entry.reference,
        "amount_minor": entry.amount_minor,
        "currency": entry.currency,
        "card_range": entry.card_range,
        "status": entry.status,
        "provider_reference": entry.provider_reference,
        "parent": entry.parent,
        "beneficiary": entry.beneficiary,
        "at": entry.at,
    }
