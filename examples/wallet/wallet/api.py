"""The wallet's API: `python -m wallet.api`."""

import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Final

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from moneypath.telemetry.integrations import fastapi as observed_app
from wallet.access import Access
from wallet.answers import AnswerLog
from wallet.banks import Banks, Said
from wallet.booking import Books, Refused, Wish
from wallet.measures import API, Measures
from wallet.operators import router
from wallet.settings import NotConfigured, Settings
from wallet.tables import BankSwitch

Key = Annotated[str, Header(alias="X-Request-Key", min_length=8, max_length=80)]
STATUSES: Final = {"DONE": 201, "DECLINED": 402, "FAILED": 502}
OUTCOMES: Final = {"DONE": "succeeded", "DECLINED": "declined", "FAILED": "failed"}


class NewPurse(BaseModel):
    """A purse to open."""

    holder: str = Field(min_length=1, max_length=100)
    currency: str = Field(pattern="^[A-Z]{3}$")


class Order(BaseModel):
    """A top-up or a withdrawal."""

    purse: str = Field(min_length=1, max_length=40)
    reference: str = Field(min_length=1, max_length=80)
    cents: int = Field(gt=0, le=10_000_000)
    currency: str = Field(pattern="^[A-Z]{3}$")


class Transfer(Order):
    """Money for another purse."""

    to: str = Field(min_length=1, max_length=40)


def create_app(settings: Settings) -> FastAPI:
    """Wire the API."""
    engine = create_async_engine(settings.database(), pool_size=10, max_overflow=0, pool_timeout=2)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    measures, access = Measures("wallet-api", settings.banks, API), Access(settings)
    recorder, books, log = measures.recorder, Books(sessions, measures), AnswerLog(settings.answers_file)
    banks = Banks(settings, measures)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with sessions.begin() as session:
            for bank in settings.banks:
                await session.execute(insert(BankSwitch).values(bank=bank, open=True, why="").on_conflict_do_nothing())
        async with banks:
            yield
        await engine.dispose()
        log.close()

    app = FastAPI(lifespan=lifespan, telemetry={"tracing": False, "metrics": False, "logs": False})
    app.include_router(router(access, sessions, frozenset(settings.banks)))
    caller = access.only("app", "canary")

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse({"state": "REFUSED", "why": error.what}, status_code=error.status)

    @app.post("/purses", status_code=201, dependencies=[Depends(caller)])
    async def open_purse(body: NewPurse) -> dict[str, str]:
        return {"purse": await books.open_purse(body.holder, body.currency)}

    def told(wish: Wish, answer: dict[str, object]) -> JSONResponse:
        status = STATUSES.get(str(answer.get("state", "")), 202)
        log.told(wish, status)
        return JSONResponse({"state": "OPEN", **answer}, status_code=status)

    async def by_bank(wish: Wish, operation: str, who: str) -> JSONResponse:
        since = recorder.now()
        if (known := await books.known_answer(wish)) is not None:
            return told(wish, known)
        with recorder.payment(operation, "canary" if who == "canary" else "live", since=since) as payment:
            open_banks = await books.open_banks()
            if not open_banks:
                payment.finish("shed", "none")
                raise HTTPException(503, "no bank takes orders")
            bank = _spread(wish.key, open_banks)
            try:
                order = await books.take(wish, bank, datetime.now(UTC))
            except Refused as error:
                payment.finish("rejected", "none")
                log.told(wish, error.status)
                raise
            if order is None:
                payment.finish("rejected", "none")
                return told(wish, {})
            said = await banks.place(order)
            answer = await books.decide(order.id, said, datetime.now(UTC))
            payment.finish(OUTCOMES.get(str(answer.get("state", "")), "indeterminate"), bank)
        return told(wish, answer)

    @app.post("/topups")
    async def top_up(body: Order, key: Key, who: Annotated[str, Depends(caller)]) -> Response:
        wish = Wish("TOP_UP", key, body.purse, body.reference, body.cents, body.currency)
        return await by_bank(wish, "top_up", who)

    @app.post("/withdrawals")
    async def withdraw(body: Order, key: Key, who: Annotated[str, Depends(caller)]) -> Response:
        wish = Wish("WITHDRAWAL", key, body.purse, body.reference, body.cents, body.currency)
        return await by_bank(wish, "withdraw", who)

    @app.post("/transfers")
    async def transfer(body: Transfer, key: Key, who: Annotated[str, Depends(caller)]) -> Response:
        wish = Wish("TRANSFER", key, body.purse, body.reference, body.cents, body.currency, body.to)
        since = recorder.now()
        if (known := await books.known_answer(wish)) is not None:
            return told(wish, known)
        with recorder.payment("transfer", "canary" if who == "canary" else "live", since=since) as payment:
            try:
                answer = await books.transfer(wish, datetime.now(UTC))
            except Refused as error:
                payment.finish("rejected", "none")
                log.told(wish, error.status)
                raise
            payment.finish("succeeded" if answer else "rejected", "none")
        return told(wish, answer or {})

    @app.get("/health")
    async def health() -> dict[str, str]:
        async with sessions() as session:
            await session.execute(text("SELECT 1"))
        return {"state": "ok"}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(measures.registry), media_type=CONTENT_TYPE_LATEST)

    observed_app.instrument(app, recorder, metrics_path=None)
    return app


def _spread(key: str, banks: list[str]) -> str:
    """Return the bank of a key: always the same one as long as the same banks are open."""
    return banks[hashlib.sha256(key.encode()).digest()[0] % len(banks)]


def main() -> None:
    """Serve until SIGTERM."""
    try:
        settings = Settings.read()
        app = create_app(settings)
    except NotConfigured as error:
        sys.exit(f"wallet: {error}")
    uvicorn.run(app, port=settings.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
