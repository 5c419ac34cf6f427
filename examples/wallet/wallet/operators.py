"""What operators may do: send nothing to a bank, and book what a lost movement has left unbooked."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from wallet.access import Access
from wallet.booking import movement_of
from wallet.tables import BankOrder, BankSwitch, Movement, OperatorStep

Key = Annotated[str, Header(alias="X-Request-Key", min_length=8, max_length=80)]
REPOSTS_AT_ONCE: Final = 1000
LOST: Final = "lost-movements"
Sessions = async_sessionmaker[AsyncSession]


class Why(BaseModel):
    """The reason of a step, for the record."""

    why: str = Field(min_length=1, max_length=200)


def router(access: Access, sessions: Sessions, banks: frozenset[str]) -> APIRouter:
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

    @routes.post("/reposts", dependencies=[operator])
    async def repost(body: Why, key: Key) -> JSONResponse:
        async with sessions.begin() as session:
            return await _ask_repost(session, body.why, key)

    @routes.get("/approvals", dependencies=[approver])
    async def pending() -> dict[str, object]:
        async with sessions() as session:
            found = await session.scalars(select(OperatorStep).where(OperatorStep.state == "WAITING"))
            return {"approvals": [_pending(one) for one in found]}

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


def _pending(step: OperatorStep) -> dict[str, str]:
    return {"approval_id": str(step.id), "action": f"movement.{step.step}", "subject_id": step.subject}


async def _ask_repost(session: AsyncSession, why: str, key: str) -> JSONResponse:
    """Book again what is lost once somebody else has agreed; until then say that it waits."""
    await _step(session, "repost", LOST, why, key, "WAITING")
    asked = select(OperatorStep).where(OperatorStep.request_key == key).with_for_update()
    step = (await session.scalars(asked)).one()
    if step.step != "repost":
        raise HTTPException(409, "this key was used for another step")
    if step.state == "WAITING":
        return JSONResponse({"awaits": "approval", "approval_id": str(step.id)}, status_code=202)
    done = await _repost(session) if step.state == "AGREED" else 0
    step.state = "DONE"
    return JSONResponse({"subject": LOST, "reposted": done})


async def _step(session: AsyncSession, step: str, subject: str, why: str, key: str, state: str) -> bool:
    """Write a step down; False if this key has done it already."""
    known = await session.scalar(select(OperatorStep).where(OperatorStep.request_key == key))
    if known is None:
        session.add(
            OperatorStep(
                id=uuid.uuid4(),
                step=step,
                subject=subject,
                why=why,
                request_key=key,
                state=state,
                asked_at=datetime.now(UTC),
            )
        )
        await session.flush()
    return known is None


async def _repost(session: AsyncSession) -> int:
    """Book each order that was carried out and has no movement; the purse has the money already."""
    lost = await session.scalars(
        select(BankOrder)
        .where(BankOrder.state == "DONE")
        .where(~exists().where(Movement.order_id == BankOrder.id))
        .limit(REPOSTS_AT_ONCE)
        .with_for_update()
    )
    found = lost.all()
    # At the time of the order: the book of the bank has it there.
    session.add_all(movement_of(order, order.decided_at or order.placed_at) for order in found)
    return len(found)
