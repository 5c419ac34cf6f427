"""Ask a registry which content a tag has now, as the OCI distribution specification says.

A HEAD of the manifest; if the registry wants a token, its challenge says where an anonymous one is to be
had. The content itself is fetched only when the registry does not tell its digest.
"""

import hashlib
import json
import re
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from moneypath.bounded_http import AnswerTooLarge, read_bounded
from moneypath.errors import MoneypathError
from moneypath.workflows.image_names import DIGEST, ImageName, is_loopback

# An index of all platforms first: the digest of one platform's manifest would not run on the others.
MANIFEST_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_TIMEOUT_SECONDS: Final = 20.0
# The specification lets registries refuse manifests of more than 4 MiB.
_MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024
_MAX_TOKEN_BYTES: Final = 64 * 1024
_CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')


class RegistryUnreachable(MoneypathError):
    """A registry does not answer."""

    code = "registry_unreachable"


class RegistryRefused(MoneypathError):
    """A registry answers with something that is no digest."""

    code = "registry_refused"


class Registries:
    """Anonymous access to registries, bounded in time and bytes; enter it before use."""

    def __init__(self, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def __aenter__(self) -> "Registries":
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def digest(self, image: ImageName) -> str:
        """Return the digest that the image's tag has now.

        Raises RegistryUnreachable without an answer, and RegistryRefused when the answer is another one.
        """
        headers = {"Accept": ", ".join(MANIFEST_TYPES)}
        status, answered, _ = await self._ask("HEAD", image.manifest_url, headers, image)
        if status == 401:
            headers["Authorization"] = await self._authorize(answered.get("www-authenticate", ""), image)
            status, answered, _ = await self._ask("HEAD", image.manifest_url, headers, image)
        _require_manifest(status, image)
        told = answered.get("docker-content-digest")
        if told is None:
            status, _, content = await self._ask("GET", image.manifest_url, headers, image)
            _require_manifest(status, image)
            told = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if not DIGEST.fullmatch(told):
            raise RegistryRefused(f"Registry names no sha256 digest: {image.host} for {image}.")
        return told

    async def _authorize(self, challenge: str, image: ImageName) -> str:
        told = dict(_CHALLENGE.findall(challenge))
        realm = urlsplit(told.get("realm", ""))
        if not challenge.lower().startswith("bearer ") or not realm.netloc:
            hint = (
                "Only registries that give anyone a token are asked; write the digest of this image by hand."
            )
            raise RegistryRefused(f"Registry wants a login: {image.host} for {image}.", hint=hint)
        if realm.scheme != "https" and not is_loopback(realm.netloc):
            raise RegistryRefused(
                f"Registry sends for its token without TLS: {image.host} to {realm.netloc}."
            )
        wanted = {"scope": told.get("scope", f"repository:{image.path}:pull")}
        wanted |= {"service": told["service"]} if "service" in told else {}
        status, _, content = await self._ask("GET", realm.geturl(), {}, image, wanted)
        try:
            answer = json.loads(content) if status == 200 else {}
            # Both names are in use for the same token.
            token = str(answer.get("token") or answer["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            hint = "It may be private, or misspelt: some registries do not say which."
            raise RegistryRefused(
                f"No token is given ({status}): {realm.netloc} for {image}.", hint=hint
            ) from error
        return f"Bearer {token}"

    async def _ask(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        image: ImageName,
        query: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body. A redirect is not followed: it would carry the token elsewhere."""
        place = urlsplit(url)
        proxy = None if proxy_bypass(place.hostname or "") else getproxies().get(place.scheme)
        limit = _MAX_MANIFEST_BYTES if query is None else _MAX_TOKEN_BYTES
        try:
            async with self._session.request(
                method, url, headers=headers, params=query, allow_redirects=False, proxy=proxy
            ) as answer:
                content = await read_bounded(answer, limit)
                return answer.status, {name.lower(): value for name, value in answer.headers.items()}, content
        except (aiohttp.ClientError, TimeoutError, OSError, AnswerTooLarge) as error:
            why = str(error) or type(error).__name__
            hint = "Check that this machine reaches it, perhaps by HTTPS_PROXY; nothing was written."
            raise RegistryUnreachable(
                f"Registry does not answer: {place.netloc} for {image}: {why}.", hint=hint
            ) from error


def _require_manifest(status: int, image: ImageName) -> None:
    if status == 200:
        return
    reason = {
        401: ("Registry refuses the token that it gave", "The image may be private."),
        403: ("Registry refuses access", "The image may be private."),
        404: ("Registry has no such tag", "Check the name and the tag."),
        429: ("Registry is asked too often", "Try again later; nothing was written."),
    }
    what, hint = reason.get(status, ("Registry answers something else than a manifest", "Try again later."))
    raise RegistryRefused(f"{what} ({status}): {image.host} for {image}.", hint=hint)
