"""The pages of a target: read back, and acknowledged, as its file says."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moneypath.errors import MoneypathError
from moneypath.incidents.events import LogHead
from moneypath.incidents.paging import AcknowledgementRefused, Page, PagedAlert, PagerUnreachable
from moneypath.target.exchange import Exchange
from moneypath.target.placeholders import Argument

POLL_SECONDS: Final = 2.0
# A pages call that does not wait is asked this often.
EVERY_SECONDS: Final = 0.5
FIRING: Final = "firing"


class _Alert(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str
    labels: Mapping[str, str]
    status: str = FIRING
    starts_at: float | None = None
    annotations: Mapping[str, str] = Field(default_factory=dict)


class _Page(BaseModel):
    model_config = ConfigDict(frozen=True)
    seq: int
    at: float
    role: str
    status: str
    alerts: tuple[_Alert, ...]


class _Pages(BaseModel):
    model_config = ConfigDict(frozen=True)
    pages: tuple[_Page, ...]


@dataclass(frozen=True, slots=True)
class TargetPager:
    """Reads pages and acknowledges them by the calls of a target's `look`."""

    exchange: Exchange

    async def pages_after(self, seq: int, *, wait_seconds: float = POLL_SECONDS) -> tuple[Page, ...]:
        """Return the pages with a number above `seq`; raises PagerUnreachable."""
        call = self.exchange.target.document.look.pages
        if call is None:
            raise PagerUnreachable("The target has no `look.pages`: nobody can tell whether a page arrives.")
        began = time.monotonic()
        try:
            answer = await self.exchange.ask(call, {"after": seq, "wait_seconds": wait_seconds})
            found = _Pages.model_validate(answer.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the answer"
            raise PagerUnreachable(f"Pages cannot be read: {where}: {first['msg']}.") from None
        except MoneypathError as error:
            raise PagerUnreachable(f"The pages cannot be read: {error.what}", hint=error.hint) from None
        pages = tuple(_page(one) for one in found.pages if one.seq > seq)
        if not pages and wait_seconds and time.monotonic() - began < EVERY_SECONDS:
            await asyncio.sleep(EVERY_SECONDS)
        return pages

    async def heartbeat_at(self) -> float | None:
        """Return when the watchdog last arrived, in Unix seconds, or None."""
        look = self.exchange.target.document.look
        if look.heartbeat is None:
            return None
        try:
            at = (await self.exchange.ask(look.heartbeat)).field(look.heartbeat_field)
        except MoneypathError as error:
            raise PagerUnreachable(f"The heartbeat cannot be read: {error.what}", hint=error.hint) from None
        return float(at) if isinstance(at, int | float) and not isinstance(at, bool) else None

    async def acknowledge(self, page: Page, role: str, head: LogHead) -> str:
        """Acknowledge `page` as `role`; return the principal that was told, or the role."""
        call = self.exchange.target.document.look.acknowledge
        if call is None:
            raise AcknowledgementRefused("The target has no `look.acknowledge`.", hint="Say how in its file.")
        given: dict[str, Argument] = {
            "page": page.seq,
            "role": role,
            "log_seq": head.seq,
            "log_hash": head.hash,
        }
        try:
            answer = await self.exchange.ask(call, given, role=role)
        except MoneypathError as error:
            raise AcknowledgementRefused(
                f"acknowledgement refused: page {page.seq} to {page.role}: {error.what}",
                hint="Acknowledge as a role that was paged.",
            ) from None
        principal = answer.field("principal")
        return principal if isinstance(principal, str) else role


def _page(one: _Page) -> Page:
    alerts = tuple(
        PagedAlert(
            each.name,
            each.status,
            one.at if each.starts_at is None else each.starts_at,
            dict(each.labels),
            dict(each.annotations),
        )
        for each in one.alerts
    )
    return Page(one.seq, one.at, one.role, one.status, alerts)
