"""The pages of a target: read back, and acknowledged, as its file says."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

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
AHEAD_SECONDS: Final = 5.0
"""How far the pager's clock may be ahead of ours: a heartbeat of the future would be later than any time."""
PRINCIPAL_MAX: Final = 100
_Seconds = Annotated[float, Field(allow_inf_nan=False)]


class _Alert(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str
    labels: Mapping[str, str]
    status: str = FIRING
    starts_at: _Seconds | None = None
    annotations: Mapping[str, str] = Field(default_factory=dict)


class _Page(BaseModel):
    model_config = ConfigDict(frozen=True)
    seq: int
    at: _Seconds
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
            raise self._unreachable("The pages cannot be read", error) from None
        # By number, each once: whoever reads on after the last of them misses none, and sees none again.
        new = {one.seq: one for one in found.pages if one.seq > seq}
        pages = tuple(_page(new[number]) for number in sorted(new))
        if not pages and wait_seconds and time.monotonic() - began < EVERY_SECONDS:
            await asyncio.sleep(EVERY_SECONDS)
        return pages

    async def heartbeat_at(self) -> float | None:
        """Return when the watchdog last arrived, in Unix seconds, or None."""
        look = self.exchange.target.document.look
        if look.heartbeat is None:
            return None
        try:
            at = (await self.exchange.ask(look.heartbeat)).number(look.heartbeat_field)
        except MoneypathError as error:
            raise self._unreachable("The heartbeat cannot be read", error) from None
        if at is not None and at > time.time() + AHEAD_SECONDS:
            raise PagerUnreachable(
                f"The heartbeat at {look.heartbeat_field} is {at - time.time():.0f} s in the future, so it "
                "proves nothing.",
                hint="Compare the clocks; `look.heartbeat` answers in Unix seconds.",
            )
        return at

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
            what = self.exchange.access.masked(error.what)
            raise AcknowledgementRefused(
                f"acknowledgement refused: page {page.seq} to {page.role}: {what}",
                hint="Acknowledge as a role that was paged.",
            ) from None
        principal = answer.field("principal")
        if not isinstance(principal, str) or not principal:
            return role
        return self.exchange.access.masked(principal)[:PRINCIPAL_MAX]

    def _unreachable(self, what: str, error: MoneypathError) -> PagerUnreachable:
        """Return the error without the secrets that an answer may quote."""
        masked = self.exchange.access.masked
        return PagerUnreachable(masked(f"{what}: {error.what}"), hint=masked(error.hint))


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
