"""The pager's HTTP interface."""

import asyncio
import hmac
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from moneypath.stack import secrets
from moneypath.stack.errors import StackError
from moneypath.stack.pager.payload import AcknowledgementBody, Webhook
from moneypath.stack.pager.store import PageStore

LONGEST_BODY_BYTES = 1 << 20
LONGEST_WAIT_SECONDS = 30.0
MOST_PAGES_AN_ANSWER = 500

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The token for deliveries, and the token of each role that may acknowledge."""

    deliver: str = field(repr=False)
    roles: Mapping[str, str] = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> "Tokens":
        """Read `pager_token` and every `role_<id>_token`."""
        try:
            names = sorted(file.name for file in folder.glob("role_*_token"))
            roles = {name[len("role_") : -len("_token")]: secrets.read(folder, name) for name in names}
            return cls(secrets.read(folder, "pager_token"), roles)
        except OSError as error:
            raise StackError(
                f"secret unreadable: {error.filename} ({error.strerror})",
                hint="Put pager_token and one role_<id>_token per paged role into the secrets folder.",
            ) from error


class Pager:
    """The handlers over one store. Refused deliveries are counted by reason."""

    def __init__(self, store: PageStore, tokens: Tokens) -> None:
        self._store = store
        self._tokens = tokens
        self._refused: Counter[str] = Counter()
        self._heartbeats = 0
        self._last_heartbeat_at: float | None = None
        self._arrived = asyncio.Condition()
        self._stopping = False

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/pages/{role}", self.take_page),
            web.post("/pages/{seq}/acknowledgements", self.take_acknowledgement),
            web.get("/pages", self.list_pages),
            web.post("/heartbeats", self.take_heartbeat),
            web.get("/heartbeats", self.show_heartbeats),
            web.get("/healthz", self.show_health),
            web.get("/stats", self.show_stats),
        ]

    async def take_page(self, request: web.Request) -> web.Response:
        """Receive a page for a role."""
        webhook = await self._webhook(request)
        if isinstance(webhook, web.Response):
            return webhook
        role = request.match_info["role"]
        if role not in self._tokens.roles:
            return self._refuse(404, "unknown_role", f"{role}; allowed: {', '.join(self._tokens.roles)}")
        if self._store.is_full:
            return self._refuse(507, "store_full", "no more pages are kept; start a new run")
        page = self._store.add_page(role, webhook, time.time())
        async with self._arrived:
            self._arrived.notify_all()
        return web.json_response({"seq": page.seq}, status=201)

    async def take_heartbeat(self, request: web.Request) -> web.Response:
        """Receive the watchdog's notification."""
        webhook = await self._webhook(request)
        if isinstance(webhook, web.Response):
            return webhook
        self._heartbeats += 1
        self._last_heartbeat_at = time.time()
        return web.json_response({"count": self._heartbeats})

    async def list_pages(self, request: web.Request) -> web.Response:
        """Return the pages after a sequence number; wait for one if there is none and the client asks to."""
        try:
            after = int(request.query.get("after", "0"))
            wait_seconds = float(request.query.get("wait_seconds", "0"))
        except ValueError:
            return _problem(400, "invalid", "after: an integer; wait_seconds: a number")
        if after < 0 or not 0 <= wait_seconds <= LONGEST_WAIT_SECONDS:
            return _problem(400, "invalid", f"after: >= 0; wait_seconds: 0 to {LONGEST_WAIT_SECONDS:g}")
        try:
            async with asyncio.timeout(wait_seconds), self._arrived:
                await self._arrived.wait_for(lambda: self._stopping or len(self._store.pages) > after)
        except TimeoutError:
            pass  # an empty answer is an answer
        pages = self._store.pages[after : after + MOST_PAGES_AN_ANSWER]
        following = pages[-1].seq if pages else after
        return web.json_response({"pages": [asdict(page) for page in pages], "next": following})

    async def take_acknowledgement(self, request: web.Request) -> web.Response:
        """Receive a role's acknowledgement of one of its pages; repeat the first one if it was sent
        before.
        """
        role = self._role_of(request)
        if role is None:
            return _problem(401, "unauthorized", "needs the bearer token of a role")
        seq = request.match_info["seq"]
        known = seq.isdecimal() and len(seq) < 10 and 1 <= int(seq) <= len(self._store.pages)
        if not known:
            return _problem(404, "unknown_page", "no page of that number")
        page = self._store.pages[int(seq) - 1]
        if page.role != role:
            return _problem(403, "not_paged", f"this page went to {page.role}, not to {role}")
        body = await self._body(request, AcknowledgementBody)
        if isinstance(body, web.Response):
            return body
        head = None if body is None else body.log_head
        made, is_new = self._store.acknowledge(page.seq, role, time.time(), head)
        return web.json_response(asdict(made), status=201 if is_new else 200)

    async def show_heartbeats(self, _request: web.Request) -> web.Response:
        """Return the time of the last heartbeat, null if there was none, and the count."""
        return web.json_response({"last_at": self._last_heartbeat_at, "count": self._heartbeats})

    async def show_health(self, _request: web.Request) -> web.Response:
        """Return `ok` and the number of refused deliveries."""
        return web.json_response({"status": "ok", "refused": self._refused.total()})

    async def show_stats(self, _request: web.Request) -> web.Response:
        """Return all counts."""
        return web.json_response(
            {
                "pages": len(self._store.pages),
                "acknowledgements": len(self._store.acknowledgements),
                "heartbeats": self._heartbeats,
                "refused": dict(self._refused),
            }
        )

    async def stop(self, _app: web.Application) -> None:
        """Answer the waiting requests."""
        self._stopping = True
        async with self._arrived:
            self._arrived.notify_all()

    async def close(self, _app: web.Application) -> None:
        """Close the store."""
        self._store.close()

    async def _webhook(self, request: web.Request) -> Webhook | web.Response:
        if not _is_bearer(request, self._tokens.deliver):
            return self._refuse(401, "unauthorized", "needs the pager's bearer token")
        webhook = await self._body(request, Webhook)
        return self._refuse(400, "invalid", "body: is empty") if webhook is None else webhook

    async def _body(self, request: web.Request, model: type[B]) -> B | web.Response | None:
        """Return the request's body as a `model`, None if it is empty, or the answer that refuses it."""
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(413, "too_large", f"allowed: {LONGEST_BODY_BYTES} bytes")
        if not body:
            return None
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "body"
            return self._refuse(400, "invalid", f"{place}: {first['msg']}")

    def _refuse(self, status: int, reason: str, detail: str) -> web.Response:
        self._refused[reason] += 1
        return _problem(status, reason, detail)

    def _role_of(self, request: web.Request) -> str | None:
        entitled = [role for role, token in self._tokens.roles.items() if _is_bearer(request, token)]
        return entitled[0] if entitled else None


def create_app(store: PageStore, tokens: Tokens) -> web.Application:
    """Create the application."""
    app = web.Application(client_max_size=LONGEST_BODY_BYTES)
    pager = Pager(store, tokens)
    app.add_routes(pager.routes())
    app.on_shutdown.append(pager.stop)
    app.on_cleanup.append(pager.close)
    return app


def _is_bearer(request: web.Request, token: str) -> bool:
    given = request.headers.get("Authorization", "")
    return hmac.compare_digest(given.encode("utf-8", "replace"), f"Bearer {token}".encode())


def _problem(status: int, error: str, detail: str) -> web.Response:
    return web.json_response({"error": error, "detail": detail}, status=status)
