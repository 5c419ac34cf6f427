"""The wallet's API: `python -m wallet.api`."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from moneypath.telemetry.integrations import fastapi as observed_app
from wallet.access import Access
from wallet.answers import AnswerLog
from wallet.banks import Banks
from wallet.booking import Books, Instruction, Refused
from wallet.measures import API, Measures
from wallet.operators import router
from wallet.payments import Payments
from wallet.settings import NotConfigured, Settings
from wallet.tables import BankSwitch

Key = Annotated[str, Header(alias="X-Request-Key", min_length=8, max_length=80)]
Sessions = async_sessionmaker[AsyncSession]


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

    def instruction(self, kind: str, key: str, other: str = "") -> Instruction:
        """Return what is asked for."""
        return Instruction(kind, key, self.purse, self.reference, self.cents, self.currency, other)


class Transfer(Order):
    """Money for another purse."""

    to: str = Field(min_length=1, max_length=40)


def create_app(settings: Settings) -> FastAPI:
    """Wire the API."""
    engine = create_async_engine(settings.database(), pool_size=10, max_overflow=0, pool_timeout=2)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    measures, access = Measures("wallet-api", settings.banks, API), Access(settings)
    books, log = Books(sessions, measures), AnswerLog(settings.answers_file)
    banks = Banks(settings, measures)
    app = FastAPI(
        lifespan=_lifespan(settings, engine, sessions, banks, log),
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    _add_payments(app, Payments(books, banks, log, measures.recorder), books, access)
    app.include_router(router(access, sessions, frozenset(settings.banks)))
    _add_probes(app, sessions, measures)
    app.add_exception_handler(Refused, _refused)
    observed_app.instrument(app, measures.recorder, metrics_path=None)
    return app


def _lifespan(
    settings: Settings, engine: AsyncEngine, sessions: Sessions, banks: Banks, log: AnswerLog
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with sessions.begin() as session:
            for bank in settings.banks:
                row = insert(BankSwitch).values(bank=bank, open=True, why="")
                await session.execute(row.on_conflict_do_nothing())
        async with banks:
            yield
        await engine.dispose()
        log.close()

    return lifespan


def _add_payments(app: FastAPI, payments: Payments, books: Books, access: Access) -> None:
    caller = access.only("app", "canary")

    def told_apart(who: Annotated[str, Depends(caller)]) -> str:
        return "canary" if who == "canary" else "live"

    @app.post("/purses", status_code=201, dependencies=[Depends(caller)])
    async def open_purse(body: NewPurse) -> dict[str, str]:
        return {"purse": await books.open_purse(body.holder, body.currency)}

    @app.post("/topups")
    async def top_up(body: Order, key: Key, traffic: Annotated[str, Depends(told_apart)]) -> Response:
        return await payments.carry_out(body.instruction("TOP_UP", key), traffic)

    @app.post("/withdrawals")
    async def withdraw(body: Order, key: Key, traffic: Annotated[str, Depends(told_apart)]) -> Response:
        return await payments.carry_out(body.instruction("WITHDRAWAL", key), traffic)

    @app.post("/transfers")
    async def transfer(body: Transfer, key: Key, traffic: Annotated[str, Depends(told_apart)]) -> Response:
        return await payments.carry_out(body.instruction("TRANSFER", key, body.to), traffic)


def _add_probes(app: FastAPI, sessions: Sessions, measures: Measures) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        async with sessions() as session:
            await session.execute(text("SELECT 1"))
        return {"state": "ok"}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(measures.registry), media_type=CONTENT_TYPE_LATEST)


def _refused(_: Request, error: Exception) -> JSONResponse:
    status, what = (error.status, error.what) if isinstance(error, Refused) else (500, "")
    return JSONResponse({"state": "REFUSED", "why": what}, status_code=status)


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
