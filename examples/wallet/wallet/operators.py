"""What operators may do: send nothing to a bank, and book what a lost movement has left unbooked."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from wallet.access import Access
from wallet.booking import movement_of
from wallet.tables import BankOrder, BankSwitch, Movement, OperatorStep

Key = Annotated[str, Header(alias="X-Request-Key", min_length=8, max_length=80)]
REPOSTS_AT_ONCE = 1000


class Why(BaseModel):
    """The reason of a step, for the record."""

    why: str = Field(min_length=1, max_length=200)


def router(access: Access, sessions: async_sessionmaker[AsyncSession], banks: frozenset[str]) -> APIRouter:
    """Return the operators' routes."""
    routes = APIRouter(prefix="/ops")
    operator, approver = Depends(access.only("operator")), Depends(access.only("approver"))

    @routes.post("/banks/{bank}/{step}", dependencies=[operator])
    async def switch(bank: str, step: str, body: Why, key: Key) -> dict[str, object]:
        if bank not in banks or step not in ("pause", "resume"):
            raise HTTPException(404, "there is no such bank, or no such step")
        async with sessions.begin() as session:
            if await _step(session, step, bank, body.why, key, "DONE"):
                await session.execute(
                    update(BankSwitch)
                    .where(BankSwitch.bank == bank)
                    .values(open=step == "resume", why=body.why)
                )
        return {"bank": bank, "paused": step == "pause"}

    @routes.post("/reposts/{bank}", dependencies=[operator])
    async def repost(bank: str, body: Why, key: Key) -> Any:
        if bank not in banks:
            raise HTTPException(404, "there is no such bank")
        async with sessions.begin() as session:
            await _step(session, "repost", bank, body.why, key, "WAITING")
            step = (
                await session.scalars(select(OperatorStep).where(OperatorStep.request_key == key))
            ).one()
            if step.step != "repost" or step.subject != bank:
                raise HTTPException(409, "this key was used for another step")
            if step.state == "WAITING":
                waits = {"awaits": "approval", "approval_id": str(step.id)}
                return JSONResponse(waits, status_code=202)
            done = await _repost(session, bank) if step.state == "AGREED" else 0
            step.state = "DONE"
        return {"bank": bank, "reposted": done}

    @routes.get("/approvals", dependencies=[approver])
    async def pending() -> dict[str, object]:
        async with sessions() as session:
            found = await session.scalars(select(OperatorStep).where(OperatorStep.state == "WAITING"))
            listed = [
                {"approval_id": str(one.id), "action": f"movement.{one.step}", "subject_id": one.subject}
                for one in found
            ]
        return {"approvals": listed}

    @routes.post("/approvals/{step_id}", dependencies=[approver])
    async def agree(step_id: uuid.UUID, _: Why) -> dict[str, object]:
        async with sessions.begin() as session:
            step = await session.get(OperatorStep, step_id, with_for_update=True)
            if step is None:
                raise HTTPException(404, "there is no such step")
            if step.state == "WAITING":
                step.state = "AGREED"
        return {"approval_id": str(step_id), "agreed": True}

    return routes


async def _step(session: AsyncSession, step: str, subject: str, why: str, key: str, state: str) -> bool:
    """Write a step down; False if this key has done it already."""
    known = await session.scalar(select(OperatorStep).where(OperatorStep.request_key == key))
    if known is None:
        session.add(
            OperatorStep(
                id=uuid.uuid4(), step=step, subject=subject, why=why, request_key=key, state=state,
                asked_at=datetime.now(UTC),
            )  # fmt: skip
        )
        await session.flush()
    return known is None


async def _repost(session: AsyncSession, bank: str) -> int:
    """Book each order of a bank that was carried out and has no movement; the purse has the money already."""
    lost = await session.scalars(
        select(BankOrder)
        .where(BankOrder.bank == bank, BankOrder.state == "DONE")
        .where(~exists().where(Movement.order_id == BankOrder.id))
        .limit(REPOSTS_AT_ONCE)
        .with_for_update()
    )
    found = lost.all()
    # At the time of the order: the book of the bank has it there.
    session.add_all(movement_of(order, order.decided_at or order.placed_at) for order in found)
    return len(found)
