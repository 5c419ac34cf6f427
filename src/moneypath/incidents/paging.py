"""Read the pages that were delivered, and acknowledge them as a role."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from moneypath.errors import MoneypathError
from moneypath.incidents.events import LogHead

POLL_SECONDS: Final = 5.0
REQUEST_SECONDS: Final = 10.0


class PagerUnreachable(MoneypathError):
    """The pager did not answer, or not as it should."""

    code = "pager_unreachable"


class AcknowledgementRefused(MoneypathError):
    """A role tried to acknowledge a page that was not its own."""

    code = "acknowledgement_refused"


@dataclass(frozen=True, slots=True)
class PagedAlert:
    """One alert in a page; `starts_at` is when it began to fire, in Unix seconds."""

    name: str
    status: str
    starts_at: float
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """One delivery to one role; `at` is the receiver's clock in Unix seconds."""

    seq: int
    at: float
    role: str
    status: str
    alerts: tuple[PagedAlert, ...]


class Pager:
    """A client of the pager, with one session and a time limit on every request.

    `secrets_folder` holds the token of each role that acknowledges.
    """

    def __init__(self, url: str, secrets_folder: Path | None = None) -> None:
        self._url, self._secrets_folder = url, secrets_folder
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            base_url=self._url, timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def pages_after(self, seq: int, *, wait_seconds: float = POLL_SECONDS) -> tuple[Page, ...]:
        """Return the pages with a number above `seq`; wait up to `wait_seconds` for the first."""
        body = await self._get("/pages", {"after": str(seq), "wait_seconds": f"{wait_seconds:g}"})
        return tuple(_page(fields) for fields in body["pages"])

    async def heartbeat_at(self) -> float | None:
        """Return when the watchdog's last heartbeat arrived, in Unix seconds."""
        body = await self._get("/heartbeats", {})
        last: float | None = body["last_at"]
        return last

    async def acknowledge(self, page: Page, role: str, head: LogHead) -> str:
        """Acknowledge `page` with the token of `role`; return the principal that the pager saw.

        The pager keeps `head`, the head of the event log: what stands before it cannot be changed unseen.
        Raises AcknowledgementRefused when that role was not paged.
        """
        if self._secrets_folder is None:
            raise RuntimeError("Pager has no folder of tokens to acknowledge with")
        token = (self._secrets_folder / f"role_{role}_token").read_text(encoding="utf-8").strip()
        headers = {"Authorization": f"Bearer {token}"}
        body = {"log_head": asdict(head)}
        address = f"/pages/{page.seq}/acknowledgements"
        async with self._open().post(address, json=body, headers=headers) as answer:
            if answer.status in (401, 403, 404):
                raise AcknowledgementRefused(
                    f"acknowledgement refused: page {page.seq} to {page.role}",
                    hint="Acknowledge as a role that was paged.",
                )
            if answer.status not in (200, 201):
                raise PagerUnreachable(f"pager answered {answer.status} to an acknowledgement")
            principal: str = (await answer.json())["principal"]
            return principal

    async def _get(self, path: str, query: Mapping[str, str]) -> Any:
        try:
            async with self._open().get(path, params=query) as answer:
                if answer.status != 200:
                    raise PagerUnreachable(f"pager answered {answer.status} to GET {path}")
                return await answer.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise PagerUnreachable(
                f"The pager does not answer: {type(error).__name__}",
                hint="Check whether the stack is still running.",
            ) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("Pager is used outside its `async with` block")
        return self._session


def _page(fields: Mapping[str, Any]) -> Page:
    return Page(
        seq=fields["seq"],
        at=fields["at"],
        role=fields["role"],
        status=fields["status"],
        alerts=tuple(
            PagedAlert(a["name"], a["status"], a["starts_at"], dict(a["labels"]), dict(a["annotations"]))
            for a in fields["alerts"]
        ),
    )
