"""A stand-in for an image registry that holds every request to the OCI distribution specification.

A request that the specification does not allow, or that a strict registry would refuse, is answered 400
and noted in `faults`. It hands out a token as its challenge says, and answers a manifest only with the token
for that repository.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
ACCEPTED = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
}
INDEX = "application/vnd.oci.image.index.v1+json"
SERVICE = "registry.stand-in"


@dataclass
class StandIn:
    """What it holds and how it misbehaves; `asked` are its requests, `faults` what was wrong with them."""

    manifests: dict[tuple[str, str], bytes]
    status: int = 200
    tells_digest: str | None = "yes"
    realm: str | None = None
    challenge: str | None = None
    token_status: int = 200
    token_name: str = "token"  # the name of a field
    open_to_all: bool = False
    address: str = ""
    asked: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def digest(self, name: str, tag: str) -> str:
        """Return the digest of what it holds."""
        return f"sha256:{hashlib.sha256(self.manifests[name, tag]).hexdigest()}"

    async def manifest(self, request: web.Request) -> web.StreamResponse:
        """Answer HEAD or GET of /v2/<name>/manifests/<reference>."""
        name, tag = request.match_info["name"], request.match_info["reference"]
        self.asked.append(f"{request.method} {name}:{tag}")
        accepted = {each.strip() for each in request.headers.get("Accept", "").split(",")}
        self._hold(NAME.fullmatch(name) is not None, f"name {name}")
        self._hold(TAG.fullmatch(tag) is not None, f"reference {tag}")
        self._hold(accepted >= ACCEPTED, f"Accept {sorted(accepted)}")
        self._hold(not request.query_string, f"query {request.query_string}")
        if self.faults:
            return web.Response(status=400)
        if not self.open_to_all and request.headers.get("Authorization") != f"Bearer {self._token(name)}":
            return web.Response(status=401, headers={"WWW-Authenticate": self._challenge(name)})
        if self.status != 200:
            return web.Response(status=self.status, headers={"Location": "/elsewhere"})
        content = self.manifests.get((name, tag))
        if content is None:
            return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, status=404)
        headers = {"Content-Type": INDEX}
        if self.tells_digest is not None:
            headers["Docker-Content-Digest"] = (
                self.digest(name, tag) if self.tells_digest == "yes" else self.tells_digest
            )
        return web.Response(body=content, headers=headers)

    async def give_token(self, request: web.Request) -> web.Response:
        """Answer with the token for the scope that was asked for."""
        self.asked.append("GET token")
        scope = re.fullmatch(r"repository:(.+):pull", request.query.get("scope", ""))
        self._hold(request.query.get("service") == SERVICE, f"service {request.query_string}")
        self._hold(scope is not None, f"scope {request.query_string}")
        self._hold("Authorization" not in request.headers, "credentials for an anonymous token")
        if self.faults or scope is None:
            return web.Response(status=400)
        if self.token_status != 200:
            return web.json_response({"details": "denied"}, status=self.token_status)
        return web.json_response({self.token_name: self._token(scope[1]), "expires_in": 300})

    def _hold(self, condition: bool, fault: str) -> None:
        if not condition:
            self.faults.append(fault)

    def _token(self, name: str) -> str:
        return hashlib.sha256(f"token for {name}".encode()).hexdigest()

    def _challenge(self, name: str) -> str:
        realm = self.realm or f"http://{self.address}/token"
        return self.challenge or f'Bearer realm="{realm}",service="{SERVICE}",scope="repository:{name}:pull"'


@asynccontextmanager
async def serve(registry: StandIn) -> AsyncIterator[StandIn]:
    """Serve it on loopback."""
    application = web.Application()
    application.router.add_get("/v2/{name:.+}/manifests/{reference}", registry.manifest)
    application.router.add_get("/token", registry.give_token)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        registry.address = site.name.removeprefix("http://")
        yield registry
    finally:
        await runner.cleanup()
