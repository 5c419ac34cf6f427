"""Serve a bank: `python -m bank NAME PORT FOLDER`; the folder holds its statement and its two tokens."""

import asyncio
import hmac
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Response, params
from pydantic import BaseModel, Field

from bank.misbehaviour import KINDS, LONGEST_LEASE_SECONDS, Lease, Misbehaviour
from bank.statement import Statement

# A caller that waits so long for an answer has given up long ago.
SILENCE_SECONDS: Final = 30.0
# What the bank does not pay: it stands for an account that is closed.
CLOSED: Final = "p-closed"


class Order(BaseModel):
    """What a customer of the bank asks it to do."""

    order: str = Field(min_length=8, max_length=64)
    reference: str = Field(min_length=1, max_length=80)
    customer: str = Field(min_length=1, max_length=40)
    amount: str = Field(pattern=r"^[0-9]{1,12}\.[0-9]{2}$")
    currency: str = Field(pattern="^[A-Z]{3}$")
    not_after: datetime


class Wrong(BaseModel):
    """A misbehaviour to begin."""

    kind: str
    share: float = Field(default=1.0, gt=0, le=1)
    lease_seconds: float = Field(gt=0, le=LONGEST_LEASE_SECONDS)
    seed: int = 1


class Longer(BaseModel):
    """How much longer it lasts."""

    lease_seconds: float = Field(gt=0, le=LONGEST_LEASE_SECONDS)


def create_app(name: str, folder: Path) -> FastAPI:
    """Wire a bank."""
    statement, wrong = Statement(name, folder / f"{name}.jsonl"), Misbehaviour()
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
    _add_orders(app, statement, wrong, Depends(_token(folder / "secrets" / f"{name}_token")))
    _add_control(app, statement, wrong, Depends(_token(folder / "secrets" / f"{name}_control_token")))

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"bank": name}

    return app


def _add_orders(app: FastAPI, statement: Statement, wrong: Misbehaviour, customer: params.Depends) -> None:
    async def carry_out(kind: str, order: Order) -> dict[str, str]:
        if wrong.hit("refuse"):
            raise HTTPException(503, "the bank takes no orders")
        known = statement.orders.get(order.order)
        if known is None and order.not_after < datetime.now(UTC):
            raise HTTPException(503, "this order came too late")
        status = "RETURNED" if order.customer.startswith(CLOSED) else "SETTLED"
        statement.write(order.order, kind, order.reference, order.amount, order.currency, status)
        if lease := wrong.hit("silent_after_moving"):
            await _say_nothing(wrong, lease)
        return _state(statement.orders[order.order])

    @app.post("/collections", dependencies=[customer])
    async def collect(order: Order) -> dict[str, str]:
        return await carry_out("COLLECTION", order)

    @app.post("/payments", dependencies=[customer])
    async def pay(order: Order) -> dict[str, str]:
        return await carry_out("PAYMENT", order)

    @app.get("/orders/{order}", dependencies=[customer])
    async def look_up(order: str) -> dict[str, str]:
        # A bank that says nothing of what it does says nothing of what it did.
        if lease := wrong.hit("silent_after_moving"):
            await _say_nothing(wrong, lease)
        if order not in statement.orders:
            raise HTTPException(404, "there is no such order")
        return _state(statement.orders[order])


def _add_control(app: FastAPI, statement: Statement, wrong: Misbehaviour, control: params.Depends) -> None:
    @app.get("/statement", dependencies=[control])
    async def read() -> Response:
        return Response(statement.file.read_bytes(), media_type="application/jsonl")

    @app.post("/control/faults", status_code=201, dependencies=[control])
    async def begin(body: Wrong) -> dict[str, str]:
        if body.kind not in KINDS:
            raise HTTPException(422, f"allowed: {', '.join(KINDS)}")
        return {"id": wrong.begin(body.kind, body.share, body.lease_seconds, body.seed).id}

    @app.put("/control/faults/{fault}", dependencies=[control])
    async def renew(fault: str, body: Longer) -> dict[str, str]:
        if not wrong.renew(fault, body.lease_seconds):
            raise HTTPException(404, "it has ended")
        return {"id": fault}

    @app.delete("/control/faults/{fault}", dependencies=[control])
    async def end(fault: str) -> dict[str, bool]:
        return {"ended": wrong.leases.pop(fault, None) is not None}

    @app.get("/control/orders", dependencies=[control])
    async def count(since: float, until: float) -> dict[str, int]:
        return {"taken": statement.taken(since, until)}

    @app.get("/control/faults", dependencies=[control])
    async def faults() -> dict[str, object]:
        listed = [{"id": one.id, "kind": one.kind, "hits": one.hits} for one in wrong.active().values()]
        return {"faults": listed}


async def _say_nothing(wrong: Misbehaviour, lease: Lease) -> None:
    """Wait as long as a caller would, or until the misbehaviour is over."""
    until = time.monotonic() + SILENCE_SECONDS
    while time.monotonic() < until and lease.id in wrong.active():
        await asyncio.sleep(0.2)


def _state(row: dict[str, str]) -> dict[str, str]:
    return {
        "state": "MOVED" if row["status"] == "SETTLED" else "REFUSED",
        "receipt": row["provider_reference"],
    }


def _token(file: Path) -> Callable[[str], None]:
    expected = file.read_text(encoding="utf-8").strip()

    def check(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {expected}".encode()):
            raise HTTPException(401, "a bearer token is needed")

    return check


if __name__ == "__main__":
    bank, port, place = sys.argv[1:]
    uvicorn.run(
        create_app(bank, Path(place)), port=int(port), log_level="warning", access_log=False,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
